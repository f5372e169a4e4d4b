/**
 * The only file that touches undocumented Node. Each function says which internal it relies on, and
 * is exercised by the tests on every supported Node, so that a change there shows at once.
 */
import { channel } from 'node:diagnostics_channel';
import { constants } from 'node:os';
import { type Server as NetServer, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type Server as TlsServer, TLSSocket, createSecureContext } from 'node:tls';

/** Node's `TCP` handle (`process.binding('tcp_wrap')`), as far as we use it. */
export interface TcpHandle {
  readonly fd: number;
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  reading: boolean;
  onread: unknown;
  readStart(): number;
  readStop(): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  getsockname(out: object): number;
  getpeername(out: object): number;
  setNoDelay(enable: boolean): number;
  setKeepAlive(enable: boolean, delay: number): number;
  close(callback?: () => void): void;
  reset?(callback?: () => void): number;
}

interface SocketInternals {
  _handle: (TcpHandle & object) | null;
  _server?: NetServer | null;
  _host?: string | null;
  _parent: Socket | null;
  _unrefTimer(): void;
}
const internals = (socket: Socket): SocketInternals => socket as unknown as SocketInternals;

/**
 * The handle of a connected, plain TCP socket that nobody has read ahead from, or `null`. The class of
 * a handle is known by its constructor's name: Node does not export `TCP`.
 */
export function plainTcpHandle(socket: Duplex): TcpHandle | null {
  const handle = pristineHandle(socket);
  if (handle === null || (socket as Socket).connecting) return null;
  return handle.fd >= 0 && handle.writeQueueSize === 0 ? handle : null;
}

/** Whether a socket is on its way to be what `plainTcpHandle` asks for. */
export function isConnectingTcp(socket: Duplex): boolean {
  return pristineHandle(socket) !== null && (socket as Socket).connecting;
}

/** A `TCP` handle whose socket holds nothing in either direction. */
function pristineHandle(socket: Duplex): TcpHandle | null {
  if (!(socket instanceof Socket)) return null;
  const handle = internals(socket)._handle;
  if (handle?.constructor.name !== 'TCP') return null;
  const { destroyed, readableLength, writableLength, readableEnded, writableEnded } = socket;
  const used = readableLength > 0 || writableLength > 0 || readableEnded || writableEnded;
  // TLS within TLS: our own sockets stand on a TCP handle too.
  const encrypted = (socket as Partial<TLSSocket>).encrypted === true;
  return destroyed || used || encrypted ? null : handle;
}

const nothing = (): number => 0;

/**
 * Makes the handle one that only we read: nobody in JavaScript starts libuv's reading, which would race
 * with ours.
 */
export function claimReading(handle: TcpHandle): void {
  handle.readStop();
  handle.reading = false;
  handle.readStart = nothing;
  handle.readStop = nothing;
}

/**
 * Calls `during` while libuv is about to read from a handle that was claimed: so the addon finds its
 * stream. Nothing is read. `null` if the handle cannot read.
 */
export function whileReading<T>(handle: TcpHandle, during: () => T): T | null {
  const itself = Object.getPrototypeOf(handle) as TcpHandle;
  if (itself.readStart.call(handle) !== 0) return null;
  try {
    return during();
  } finally {
    itself.readStop.call(handle);
  }
}

const fedBy = Symbol('ktls.fedBy');

/** Who feeds a handle is told what its consumer wants. */
export interface Feeder {
  read(): void;
  pause(): void;
}

interface Fed extends TcpHandle {
  [fedBy]: Feeder;
}

function startFeeding(this: Fed): number {
  this[fedBy].read();
  return 0;
}

function stopFeeding(this: Fed): number {
  this[fedBy].pause();
  return 0;
}

/** What starts and stops the reading of a claimed handle (`net.Socket`, http) does that to `feeder`. */
export function feedBy(handle: TcpHandle, feeder: Feeder): void {
  (handle as Fed)[fedBy] = feeder;
  handle.readStart = startFeeding;
  handle.readStop = stopFeeding;
}

/** Whether the handle of a socket, or of the one it was taken from, reads into its user's own buffer. */
export function readsIntoUserBuffer(socket: Socket): boolean {
  const { _parent: owner } = internals(socket);
  if (owner === null) return false;
  const symbol = Object.getOwnPropertySymbols(owner).find(
    ({ description }) => description === 'kBuffer',
  );
  return symbol === undefined || (owner as unknown as Record<symbol, unknown>)[symbol] !== null;
}

/** Makes the HTTP/1 parser leave the handle to JavaScript: it looks at `isStreamBase`. */
export function refuseConsumers(handle: TcpHandle): void {
  Object.defineProperty(handle, 'isStreamBase', { value: false, configurable: true });
}

const closedFirst = Symbol('ktls.closedFirst');

interface Preceded extends TcpHandle {
  [closedFirst]: { close(): void };
}

/** The class's own method: the handle's property is ours. */
const native = (handle: TcpHandle): Required<TcpHandle> =>
  Object.getPrototypeOf(handle) as Required<TcpHandle>;

function close(this: Preceded, callback?: () => void): void {
  this[closedFirst].close();
  native(this).close.call(this, callback);
}

function reset(this: Preceded, callback?: () => void): number {
  this[closedFirst].close();
  return native(this).reset.call(this, callback);
}

/** Closes `first` ahead of any close or reset of the handle, whoever asks for it. */
export function closeFirst(handle: TcpHandle, first: { close(): void }): void {
  (handle as Preceded)[closedFirst] = first;
  handle.close = close;
  if (handle.reset !== undefined) handle.reset = reset;
}

/** The live handle of a socket, or `null` once it is closed. */
export function handleOf(socket: Socket): TcpHandle | null {
  return internals(socket)._handle;
}

/**
 * Whether what a `net.Socket` writes goes to a descriptor of its own, or will once it is connected: a TCP
 * or Unix socket of Node's, and no subclass that has a way of writing of its own.
 */
export function writesToFd(socket: Socket): boolean {
  const { prototype } = Socket;
  if (socket._write !== prototype._write || socket._writev !== prototype._writev) return false;
  const handle = internals(socket)._handle;
  if (handle === null) return socket.connecting;
  return handle.constructor.name === 'TCP' || handle.constructor.name === 'Pipe';
}

/** `socket.bytesWritten` as `net.Socket` counts it, an accessor that its types do not show. */
export function bytesWritten(socket: Socket): number {
  const bytes = Reflect.get(Socket.prototype, 'bytesWritten', socket) as number | undefined;
  return bytes ?? 0;
}

/** `socket.bytesRead` as `net.Socket` counts it: what came by way of its handle. */
export function bytesRead(socket: Socket): number {
  const bytes = Reflect.get(Socket.prototype, 'bytesRead', socket) as number | undefined;
  return bytes ?? 0;
}

/** Destroys a TCP socket with an error and sends RST: `resetAndDestroy` takes no error. */
export function resetWith(socket: Socket, error: Error): void {
  if (socket.destroyed) return;
  (socket as Socket & { resetAndClosing?: boolean }).resetAndClosing = true;
  socket.destroy(error);
}

/** Restarts the socket's idle timer, as Node does whenever bytes move. */
export function touchTimeout(socket: Socket): void {
  internals(socket)._unrefTimer();
}

/** What a socket that was taken over does with its own life from then on. */
export interface TakenOver {
  /** The handle has changed hands: closing it is the owner's business. */
  handleGone(): void;
  /** The owner is destroyed. */
  release(): void;
}

/**
 * Binds the life of a socket to the one that takes its handle over, as node:tls does: it answers for
 * addresses and options as before, its idle timer runs on, whoever ends or destroys it does that to
 * `owner`, and when `owner` is destroyed (`release`) it is too, which gives its place in a server's
 * connection count back.
 */
export function bindLives(taken: Socket, owner: Socket): TakenOver {
  const self = internals(taken) as SocketInternals & Required<Pick<Socket, '_destroy' | '_final'>>;
  const { _destroy: destroy, _final: final } = self;
  const ref = taken.ref.bind(taken);
  const unref = taken.unref.bind(taken);
  let gone = false;
  self._destroy = (error, callback) => {
    owner.destroy(error ?? undefined);
    if (gone) self._handle = null;
    destroy.call(taken, error, callback);
  };
  self._final = (callback) => {
    if (!gone) final.call(taken, callback);
    else owner.end(() => callback());
  };
  taken.ref = () => (gone ? (owner.ref(), taken) : ref());
  taken.unref = () => (gone ? (owner.unref(), taken) : unref());
  taken.on('error', (error) => owner.destroy(error));
  taken.once('close', () => owner.destroy());
  internals(owner)._parent = taken;
  return {
    handleGone: () => {
      gone = true;
    },
    release: () => void taken.destroy(),
  };
}

/**
 * Whether nobody but the first listener of 'connection' has seen, or is going to see, a socket: the server
 * has accepted it itself, and tells nobody else.
 */
export function isUnseen(accepted: Socket, server: NetServer): boolean {
  if (internals(accepted)._server !== server) return false;
  return server.listenerCount('connection') === 1 && !acceptedSockets.hasSubscribers;
}
const acceptedSockets = channel('net.server.socket');

/** Puts `successor` in the place of an accepted socket, also in the server's count; nobody needs that any more. */
export function succeed(accepted: Socket, successor: Socket): void {
  const [old, young] = [internals(accepted), internals(successor)];
  old._handle = null;
  young._server = old._server ?? null;
  old._server = null;
}

/**
 * Gives a handle another socket: its callbacks (reads, completed writes, errors) go there from now on.
 * Whoever had it must not close it any more.
 */
export function adoptHandle(socket: Socket, handle: TcpHandle): void {
  setOwner(handle, socket, handle);
  internals(socket)._handle = handle;
}

/** A handle knows its socket by a symbol that Node does not export. */
function setOwner(handle: object, socket: Socket, example: object): void {
  const symbol = Object.getOwnPropertySymbols(example).find(
    ({ description }) => description === 'owner_symbol',
  )!;
  (handle as Record<symbol, unknown>)[symbol] = socket;
}

/** The name that was looked up to connect the socket: node:tls verifies it if it was told no other. */
export function connectedHost(socket: Socket): string | undefined {
  return internals(socket)._host ?? undefined;
}

/** Answers for `connectedHost` of another socket, which may not know yet. */
export function presentHost(stream: Duplex, of: Socket): void {
  Object.defineProperty(stream, '_host', { configurable: true, get: () => connectedHost(of) });
}

/** The listener with which node:tls wraps an accepted connection. */
export type ConnectionListener = (this: TlsServer, socket: Duplex) => void;

/**
 * Puts `replacement` in the place of the listener with which every `tls.Server` (and `https.Server`,
 * `Http2SecureServer`) wraps accepted connections, and returns that listener; `undefined` if there is
 * none. The constructor adds it first, so it is the first listener of 'connection'.
 */
export function replaceConnectionListener(
  server: NetServer,
  replacement: (socket: Socket) => void,
): ConnectionListener | undefined {
  const original = server.listeners('connection')[0] as ConnectionListener | undefined;
  if (original?.name !== 'tlsConnectionListener') return undefined;
  server.removeListener('connection', original as (...args: unknown[]) => void);
  server.prependListener('connection', replacement);
  return original;
}

/** `socket.connecting`, which keeps consumers (http, http2) from using the socket yet. */
export function setConnecting(socket: Socket, connecting: boolean): void {
  (socket as unknown as Record<'connecting', boolean>).connecting = connecting;
}

/** `server.pauseOnConnect`: whether new sockets start paused. */
export function pausesOnConnect(server: NetServer): boolean {
  return (server as NetServer & { pauseOnConnect?: boolean }).pauseOnConnect === true;
}

/** `socket.server`: http2 with `allowHTTP1` writes to it what it expects to find on the server. */
export function setServer(socket: TLSSocket, server: TlsServer): void {
  (socket as TLSSocket & { server: TlsServer }).server = server;
}

/**
 * A server that is `server` in everything but what `overrides` says, for one connection: node:tls asks
 * it for options, contexts and listener counts (all inherited, so changes made later are seen) and emits
 * its events on it.
 */
export function serverFacade(
  server: TlsServer,
  overrides: Pick<TlsServer, 'listenerCount'> & {
    emit: (event: string | symbol, ...args: unknown[]) => boolean;
  },
): TlsServer {
  return Object.assign(Object.create(server) as TlsServer, overrides);
}

/** Whether an http2 session waits for this socket: it is going to consume its handle. */
export function hasHttp2Session(socket: Socket): boolean {
  return Object.getOwnPropertySymbols(socket).some(
    ({ description }) => description === 'kBoundSession',
  );
}

/** Node's `JSStream` handle: a stream for native consumers with JavaScript behind it. */
interface JsStream {
  reading: boolean;
  onread: unknown;
  readBuffer(chunk: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: object, status: number): void;
  finishShutdown(request: object, status: number): void;
}

/**
 * The class `JSStream`, which Node exports nowhere: node:tls gives one to each stream that has no handle of
 * its own.
 */
function jsStream(): new () => JsStream {
  if (foundJsStream === undefined) {
    const stream = new Duplex({ read: () => undefined });
    // An empty list: Node's own certificates take long to load.
    const example = new TLSSocket(stream, {
      isServer: true,
      secureContext: createSecureContext({ ca: [] }),
    });
    const { _parent: handle } = internals(example)._handle as unknown as {
      _parent: { constructor: new () => JsStream };
    };
    foundJsStream = handle.constructor;
    example.destroy();
  }
  return foundJsStream;
}
let foundJsStream: (new () => JsStream) | undefined;

const ECANCELED = -constants.errno.ECANCELED;
const EPIPE = -constants.errno.EPIPE;
const statusOf = (error: Error | null | undefined): number =>
  error ? ((error as NodeJS.ErrnoException).errno ?? EPIPE) : 0;

/**
 * A socket without a descriptor: node:tls stands on it as on a TCP socket, in native code, and its subclass
 * reads and writes. That is what node:tls makes of a stream that has no handle, less the stream.
 */
export abstract class HandleSocket extends Socket {
  static #Handle: (new () => JsStream & { socket: HandleSocket }) | undefined;
  readonly #native: JsStream;
  #write: object | null = null;
  #shutdown: object | null = null;

  constructor(allowHalfOpen: boolean) {
    const handle = new (HandleSocket.#handleClass())();
    super({ handle, manualStart: true, allowHalfOpen } as object);
    this.#native = handle;
    handle.socket = this;
  }

  /** node:tls wants to read, or no more for now. Nothing may be delivered within the call. */
  protected abstract reading(wanted: boolean): void;
  /** Bytes to write, in order; there is no second call before `written`. */
  protected abstract writeOut(chunks: Buffer[]): void;
  /** The end of what is written. */
  protected abstract endOut(done: (error?: Error | null) => void): void;
  /** node:tls has been told that what it wrote is written, and has written no more. */
  protected abstract wroteAll(): void;

  /** Whether node:tls has been told of all its writes. */
  protected get idle(): boolean {
    return this.#write === null;
  }

  /** node:tls consumes it within the call. Not to be called within a call of its own. */
  protected deliver(chunk: Uint8Array): void {
    if (!this.destroyed) this.#native.readBuffer(chunk);
  }

  protected deliverEnd(): void {
    if (!this.destroyed) this.#native.emitEOF();
  }

  /** What `writeOut` was given is written; node:tls is told in an immediate, in which it may write more. */
  protected written(error?: Error): void {
    setImmediate(() => {
      const request = this.#write;
      if (request === null) return;
      this.#write = null;
      this.#native.finishWrite(request, statusOf(error));
      if (!this.idle) return;
      if (this.#shutdown !== null) this.#end(this.#shutdown);
      this.wroteAll();
    });
  }

  #end(request: object): void {
    // Not within the call that asks for it.
    process.nextTick(() => {
      this.endOut((error) => {
        if (this.#shutdown !== request) return;
        this.#shutdown = null;
        this.#native.finishShutdown(request, statusOf(error));
      });
    });
  }

  /** Tells node:tls what comes of its requests when the socket closes. */
  #cancel(): void {
    const [write, shutdown] = [this.#write, this.#shutdown];
    this.#write = this.#shutdown = null;
    if (write !== null) this.#native.finishWrite(write, ECANCELED);
    if (shutdown !== null) this.#native.finishShutdown(shutdown, ECANCELED);
  }

  static #handleClass(): new () => JsStream & { socket: HandleSocket } {
    HandleSocket.#Handle ??= class extends jsStream() {
      declare socket: HandleSocket;
      override reading = false;

      isClosing(): boolean {
        return this.socket.destroyed;
      }

      onreadstart(): number {
        this.socket.reading(true);
        return 0;
      }

      onreadstop(): number {
        this.socket.reading(false);
        return 0;
      }

      onwrite(request: object, chunks: Buffer[]): number {
        this.socket.#write = request;
        this.socket.writeOut(chunks);
        return 0;
      }

      onshutdown(request: object): number {
        const { socket } = this;
        socket.#shutdown = request;
        // A close_notify, say, goes first.
        if (socket.#write === null) socket.#end(request);
        return 0;
      }

      close(closed?: () => void): void {
        setImmediate(() => {
          this.socket.#cancel();
          closed?.();
        });
      }
    };
    return HandleSocket.#Handle;
  }
}

/**
 * What a server's connection has its own certificate from, if that has one certificate and no other: the
 * server's context. `null` where the application chose a certificate for the connection, or may have.
 */
export function soleCertificateOf(socket: TLSSocket): object | null {
  const { _tlsOptions: options, _handle: handle } = socket as unknown as {
    _tlsOptions: { secureContext?: object; server?: ServerInternals };
    _handle: { sni_context?: object };
  };
  const { secureContext = null, server } = options;
  if (secureContext !== server?._sharedCreds) return null;
  if (handle.sni_context !== undefined || server.ALPNCallback != null) return null;
  const given = [server.cert, server.pfx].flat().filter((one) => one != null);
  return given.length === 1 ? secureContext : null;
}

interface ServerInternals {
  _sharedCreds?: object;
  ALPNCallback?: unknown;
  cert?: unknown;
  pfx?: unknown;
}

/**
 * Frees the TLS object of a socket that nobody needs any more, and whose connection has gone elsewhere:
 * without the events of a socket that closes. Not to be called on OpenSSL's stack.
 */
export function freeTls(socket: TLSSocket): void {
  (socket as TLSSocket & { _destroySSL(): void })._destroySSL();
  // Its getters would look into what is gone.
  internals(socket)._handle = null;
}

/** Who stands behind a `StreamHandle`. */
export interface StreamHandleOwner {
  readStart(): void;
  readStop(): void;
  write(chunks: Buffer[], done: (error?: Error | null) => void): void;
  shutdown(done: (error?: Error | null) => void): void;
}

/**
 * The handle of a socket whose bytes a native consumer (http2) reads and writes. It takes the place of
 * the socket's TCP handle, which goes to a socket of its own, `tcp`, and answers for it in all that is
 * neither reading nor writing.
 */
export class StreamHandle {
  readonly tcp: Socket;
  readonly #handle: JsStream;
  readonly #unfinished = new Set<(status: number) => void>();
  #reading = false;
  #writing = 0;
  #idle: (() => void)[] = [];

  constructor(socket: Socket, owner: StreamHandleOwner) {
    const tcp = internals(socket)._handle!;
    const handle = new (jsStream())();
    this.#handle = handle;
    setOwner(handle, socket, tcp);
    handle.onread = tcp.onread;
    handle.reading = false;
    internals(socket)._handle = handle as unknown as TcpHandle;
    this.tcp = new Socket({ handle: tcp, manualStart: true, allowHalfOpen: true } as object);
    internals(this.tcp)._parent = socket;

    const later = (finish: (status: number) => void): ((error?: Error | null) => void) => {
      this.#unfinished.add(finish);
      // The consumer takes an answer within its own call for an error of its own.
      return (error) =>
        setImmediate(() => {
          if (this.#unfinished.delete(finish)) finish(statusOf(error));
        });
    };
    Object.defineProperties(handle, {
      bytesWritten: { get: () => tcp.bytesWritten },
      writeQueueSize: { get: () => tcp.writeQueueSize },
      fd: { get: () => tcp.fd },
    });
    Object.assign(handle, {
      ref: () => tcp.ref(),
      unref: () => tcp.unref(),
      hasRef: () => tcp.hasRef(),
      getsockname: (out: object) => tcp.getsockname(out),
      getpeername: (out: object) => tcp.getpeername(out),
      setNoDelay: (enable: boolean) => tcp.setNoDelay(enable),
      setKeepAlive: (enable: boolean, delay: number) => tcp.setKeepAlive(enable, delay),
      isClosing: () => this.tcp.destroyed,
      onreadstart: () => {
        this.#reading = true;
        owner.readStart();
        return 0;
      },
      onreadstop: () => {
        this.#reading = false;
        owner.readStop();
        return 0;
      },
      onwrite: (request: object, chunks: Buffer[]) => {
        this.#writing++;
        const done = later((status) => handle.finishWrite(request, status));
        owner.write(chunks, (error) => {
          done(error);
          if (--this.#writing > 0) return;
          for (const idle of this.#idle.splice(0)) idle();
        });
        return 0;
      },
      onshutdown: (request: object) => {
        owner.shutdown(later((status) => handle.finishShutdown(request, status)));
        return 0;
      },
      close: (callback?: () => void) => {
        this.tcp.once('close', () => {
          for (const finish of this.#unfinished) finish(ECANCELED);
          this.#unfinished.clear();
          callback?.();
        });
        this.tcp.destroy();
      },
    });
  }

  deliver(chunk: Buffer): boolean {
    this.#handle.readBuffer(chunk);
    return this.#reading;
  }

  deliverEnd(): void {
    this.#handle.emitEOF();
  }

  /** Calls back when nothing that the consumer has written is under way. */
  whenIdle(callback: () => void): void {
    if (this.#writing === 0) callback();
    else this.#idle.push(callback);
  }
}

/** Whether a module of Node has been loaded in this thread. */
export function isLoaded(module: string): boolean {
  const { moduleLoadList } = process as NodeJS.Process & { moduleLoadList: readonly string[] };
  return moduleLoadList.includes(`NativeModule ${module}`);
}

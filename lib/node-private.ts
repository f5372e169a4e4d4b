/**
 * The only file that touches undocumented Node. Each function says which internal it relies on, and
 * is exercised by the tests on every supported Node, so that a change there shows at once.
 */
import { constants } from 'node:os';
import { type Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer, TLSSocket } from 'node:tls';

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

/**
 * Makes the handle one that only we read: nobody in JavaScript starts libuv's reading, which would race
 * with ours.
 */
export function claimReading(handle: TcpHandle): void {
  handle.readStop();
  handle.reading = false;
  handle.readStart = () => 0;
  handle.readStop = () => 0;
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

/** Tells who feeds a claimed handle what its consumer wants: `net.Socket` and http ask the handle. */
export function onReading(handle: TcpHandle, start: () => void, stop: () => void): void {
  handle.readStart = () => {
    start();
    return 0;
  };
  handle.readStop = () => {
    stop();
    return 0;
  };
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

/** Calls `before` ahead of any close or reset of the handle, whoever asks for it. */
export function beforeClose(handle: TcpHandle, before: () => void): void {
  const close = handle.close.bind(handle);
  const reset = handle.reset?.bind(handle);
  handle.close = (callback) => {
    before();
    close(callback);
  };
  if (reset !== undefined) {
    handle.reset = (callback) => {
      before();
      return reset(callback);
    };
  }
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

/** Who stands behind a `StreamHandle`. */
export interface StreamHandleOwner {
  readStart(): void;
  readStop(): void;
  write(chunks: Buffer[], done: (error?: Error | null) => void): void;
  shutdown(done: (error?: Error | null) => void): void;
}

const ECANCELED = -constants.errno.ECANCELED;
const EPIPE = -constants.errno.EPIPE;
const statusOf = (error: Error | null | undefined): number =>
  error ? ((error as NodeJS.ErrnoException).errno ?? EPIPE) : 0;

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

  /** @param over - A TLSSocket on a stream that is no socket: its handle's parent is a `JSStream`. */
  constructor(socket: Socket, over: TLSSocket, owner: StreamHandleOwner) {
    const tcp = internals(socket)._handle!;
    const { _parent: example } = internals(over)._handle as unknown as {
      _parent: { constructor: new () => JsStream };
    };
    const handle = new example.constructor();
    this.#handle = handle;
    setOwner(handle, socket, example);
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

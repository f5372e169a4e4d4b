/**
 * `OffloadedSocket`: a `net.Socket` whose bytes the kernel encrypts. From the outside it is a TLS socket;
 * inside it is the TCP connection itself, which no byte of the application can reach before the keys are
 * installed: until then it has no data path, and writes wait.
 */
import type { OnReadOpts, Socket, SocketConstructorOpts } from 'node:net';
import type { ConnectionOptions, Server, TLSSocket } from 'node:tls';
import { publishError, publishOffload, publishRefusal, publishRekey } from '../diagnostics.js';
import { KtlsError, invalidType, outOfRange } from '../errors.js';
import { Handshake, type HandshakeOwner } from '../handshake/handshake.js';
import { type Negotiated, servernameOf, snapshot } from '../handshake/negotiated.js';
import { ServerFacts, type TlsFacts } from '../handshake/tls-facts.js';
import { type Channel, Ready, loadBinding } from '../kernel/binding.js';
import { type Installed, install } from '../kernel/install.js';
import { type Plan, plan } from '../kernel/plan.js';
import { kernelRekeys, ulpRefusal } from '../kernel/probe.js';
import { Rekeying } from '../kernel/rekey.js';
import * as node from '../node-private.js';
import { type OffloadSettings, type SendFileInit, parseSendFile } from '../options.js';
import { ProtocolVersion, maxPlaintextLength } from '../tls/constants.js';
import { Exporter } from '../tls/exporter.js';
import type { Chunk, DataPath, WriteCallback } from './data-path.js';
import type { FileSource } from './file-source.js';
import { KernelPath, type KernelPathOwner, type KernelPathParts } from './kernel-path.js';
import {
  type OffloadState,
  kernelState,
  pendingState,
  refusedState,
  withZeroCopy,
} from './offload-state.js';
import { discardReceived } from './receiver.js';
import { FileRequest, fileRequest, queueFile, writeInOrder } from './send-file.js';
import { SessionShadow } from './session-shadow.js';
import { TlsApi, tlsFacts } from './tls-api.js';
import { UserSpacePath } from './user-space-path.js';

/** The most that may follow the record at which a handshake fails, for its alert to get through. */
const FLIGHT = 16 * 1024;

/** Only this library makes these sockets. */
export const internal = Symbol('ktls.internal');

export interface OffloadedSocketInit {
  key: typeof internal;
  settings: OffloadSettings;
  socket: SocketConstructorOpts & { manualStart?: boolean; highWaterMark?: number };
  /** Receives into the caller's own buffer, as in `net.connect`. */
  onread?: OnReadOpts | undefined;
  /** The server that accepted the connection; `undefined` on a client. */
  server?: Server;
  /** The connection is secured: its events are emitted from here. */
  secured: (socket: OffloadedSocket) => void;
  /** The connection is about to end before it was secured; its addresses are still known. */
  rejected?: (error: Error) => void;
}

export class OffloadedSocket extends TlsApi {
  /** Always true, as on every TLS socket of Node. */
  override readonly encrypted = true;
  /** Whether the peer's certificate was verified. */
  override authorized = false;
  /** Why it was not, or `null`: as with node:tls the type does not say so. */
  override authorizationError: Error = null as unknown as Error;
  /** The protocol chosen by ALPN; `false` if none was, `null` before the handshake is done. */
  override alpnProtocol: string | false | null = null;
  /** The server name of SNI. */
  override servername: string | false | null = null;
  /** True until the connection is secured. */
  secureConnecting = true;
  /**
   * Whether the peer's close_notify arrived: after 'end', `false` means that the stream may have been
   * truncated (RFC 8446 section 6.1).
   */
  closeNotifyReceived = false;
  /** The server that accepted the connection. */
  declare readonly server?: Server;

  readonly #init: OffloadedSocketInit;
  #rejected = false;
  /** The socket whose connection this was. */
  #taken: node.TakenOver | null = null;
  #channel: Channel | null = null;
  #handshake: Handshake | null = null;
  #plan: Plan | null = null;
  #refusal: KtlsError | null = null;
  #path: DataPath | null = null;
  #negotiated: Negotiated | null = null;
  #facts: TlsFacts | null = null;
  /** Of a client: its TLS object takes session tickets until the socket closes. */
  #shadowed: Handshake | null = null;
  /** A session that came before the connection was secured. */
  #session: Buffer | null = null;
  #offload: OffloadState = pendingState;
  #stream: node.StreamHandle | null = null;
  /**
   * FIN has come. An http2 session that has nothing to wait for stops reading, and learns of the end only
   * because node:tls reads on. So do we from now on: no more can come than the kernel holds.
   */
  #peerEnded = false;
  /** Of `onread`: where the next bytes go, whether it wants no more, and what it then has not got. */
  #target: Uint8Array | null = null;
  #halted = false;
  #undelivered: Buffer | null = null;
  #received = 0;
  #fileBytes = 0;
  /** What was written to the connection before it was ours, which is no plaintext of TLS. */
  #bytesInClear = 0;
  #waiting = true;
  #referenced = true;
  #readWanted = false;
  #held: { write: (path: DataPath) => void; callback: WriteCallback } | null = null;

  static {
    // Accessors of the prototype in Node, properties in its types.
    Object.defineProperties(this.prototype, {
      bytesRead: {
        configurable: true,
        get(this: OffloadedSocket) {
          return this.#received;
        },
      },
      bytesWritten: {
        configurable: true,
        get(this: OffloadedSocket) {
          return this.#path instanceof UserSpacePath
            ? this.#path.bytesWritten
            : node.bytesWritten(this) - this.#bytesInClear + this.#fileBytes;
        },
      },
    });
  }

  /** @internal */
  constructor(init: OffloadedSocketInit) {
    const { key, socket, server } = init;
    if (key !== internal) {
      throw Object.assign(new TypeError('Illegal constructor'), {
        code: 'ERR_ILLEGAL_CONSTRUCTOR',
      });
    }
    super(socket);
    this.#init = init;
    if (server !== undefined) this.server = server;
    node.setConnecting(this, true);
  }

  /** What programs look at that do not know `secureConnecting`. */
  get _secureEstablished(): boolean {
    return !this.secureConnecting;
  }

  /**
   * What the kernel does for this connection. Frozen; asked of the kernel when first read, and of a socket
   * that is closed by then nobody can say more than that the kernel did it.
   */
  get offload(): OffloadState {
    if (this.#offload === pendingState && this.#path instanceof KernelPath) {
      this.#offload = kernelState(this.#channel!, this.#negotiated!);
    }
    if (this.#path instanceof KernelPath) {
      this.#offload = withZeroCopy(this.#offload, this.#path.zeroCopy);
    }
    return this.#offload;
  }

  /** @internal */
  override [tlsFacts](): TlsFacts | null {
    return this.#facts ?? this.#handshake?.tls ?? null;
  }

  protected override get isServer(): boolean {
    return this.#init.server !== undefined;
  }

  protected override get carriedByNode(): boolean {
    return this.#path instanceof UserSpacePath;
  }

  /**
   * Sends a file, or a part of it, from the page cache to the wire (`sendfile(2)`): in its place between
   * the `write`s before and after it, off the event loop, with the idle timeout refreshed while it gets on.
   * What the file has when it is opened is what is promised to the peer: bytes appended later are not sent,
   * and if it loses some the connection is reset.
   *
   * @returns The number of bytes sent, when the kernel has taken them all. Rejects with what
   * `docs/errors.md` has under "Files"; the connection goes on if nothing of the file was sent by then.
   * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong source or option; `EBADF` for a closed fd.
   */
  sendFile(source: FileSource, options?: SendFileInit): Promise<number> {
    return queueFile(this, new FileRequest(source, parseSendFile(options)));
  }

  /**
   * @param size - Most plaintext bytes of a record, 512 to 16384.
   * @returns whether it is so from now on: not before the connection is secured, and only on kernels that
   * have `TLS_TX_MAX_PAYLOAD_LEN` (Linux 6.19).
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE` if it is no integer of 32 bits.
   */
  override setMaxSendFragment(size: number): boolean {
    if (typeof (size as unknown) !== 'number') throw invalidType('size', 'of type number', size);
    if (!Number.isInteger(size) || (size | 0) !== size) {
      throw outOfRange('size', 'an integer of 32 bits', size);
    }
    if (size < 512 || size > maxPlaintextLength) return false;
    return this.#path?.setMaxFragment(size) ?? false;
  }

  /**
   * Changes the keys of a TLS 1.3 connection (KeyUpdate, RFC 8446 section 4.6.3): our own, and with
   * `requestPeer` the peer's as well, as soon as it answers. Kernels from 6.14 on can.
   *
   * @returns Settled when all further writes are under the new key. Rejected with `ERR_KTLS_NO_REKEY` if
   * that cannot be; the connection is then as it was.
   */
  updateKeys({ requestPeer = false }: { requestPeer?: boolean } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const done: WriteCallback = (error) => (error ? reject(error) : resolve());
      if (this.#path instanceof KernelPath && !this.destroyed) {
        this.#path.updateKeys(requestPeer, done);
      } else {
        done(new KtlsError('ERR_KTLS_NO_REKEY'));
      }
    });
  }

  // --- The handshake ---

  /**
   * @internal Client: the TCP connection is made by `connect`, or is that of `raw`, which is or is going
   * to be a plain TCP socket with nothing buffered; node:tls is ready when it stands.
   */
  startClient(options: ConnectionOptions, raw?: Socket): void {
    this.#handshake = Handshake.connect(this.#handshakeOwner(), options, raw);
    if (raw !== undefined) this.#takeOver(raw);
  }

  /** @internal Server: the handle of `raw` is ours, and the TLS layer attached to it. */
  startServer(
    server: Server,
    listener: node.ConnectionListener,
    raw: Socket,
    channel: Channel,
  ): void {
    this.#bytesInClear = node.handleOf(this)!.bytesWritten;
    if (node.isUnseen(raw, server)) {
      node.succeed(raw, this);
    } else {
      this.#taken = node.bindLives(raw, this);
      this.#taken.handleGone();
    }
    this.#channel = channel;
    this.#handshake = Handshake.accept(this.#handshakeOwner(), server, listener);
    this.#attach(channel);
  }

  /** @internal The events of a channel go to whoever is at work. */
  channelReady(events: number): void {
    if (this.#path instanceof KernelPath) {
      this.#path.ready(events);
      if (events & Ready.PEER_HALF_CLOSED && !this.#peerEnded) {
        this.#peerEnded = true;
        if (this.#stream !== null) this.#path.read();
      }
      return;
    }
    this.#handshake?.ready(events);
  }

  #takeOver(raw: Socket): void {
    const taken = node.bindLives(raw, this);
    this.#taken = taken;
    const take = (): void => {
      const handle = node.handleOf(raw);
      if (handle === null || this.destroyed) return;
      taken.handleGone();
      node.adoptHandle(this, handle);
      this.#bytesInClear = handle.bytesWritten;
      this.#referenced = handle.hasRef();
      this.#tcpConnected();
    };
    if (!raw.connecting) {
      take();
      return;
    }
    raw.once('connect', () => {
      const handle = node.handleOf(raw);
      // By another listener, which came first.
      if (handle === null) return;
      // Before libuv reads; and what somebody has written in the meantime goes ahead.
      node.claimReading(handle);
      if (node.plainTcpHandle(raw) !== null) take();
      else raw.write('', take);
    });
  }

  /** The TCP connection's own 'connect' is not ours: that one says that data may flow. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (this.#path === null && (event === 'connect' || event === 'ready')) {
      if (event === 'connect') this.#tcpConnected();
      return true;
    }
    return super.emit(event, ...args);
  }

  #tcpConnected(): void {
    node.setConnecting(this, true);
    const handle = node.handleOf(this);
    const binding = loadBinding();
    if (handle === null || binding instanceof Error || this.#handshake === null) return;
    let channel: Channel;
    try {
      channel = new binding.Channel(handle.fd, (events) => this.channelReady(events));
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    this.#channel = channel;
    node.claimReading(handle);
    const ulp = channel.attachUlp();
    if (ulp < 0) this.#refusal = ulpRefusal(ulp);
    this.#attach(channel);
  }

  #attach(channel: Channel): void {
    node.closeFirst(node.handleOf(this)!, channel);
    this.#updateReference();
    this.#handshake!.attach(channel);
  }

  #handshakeOwner(): HandshakeOwner {
    return {
      socket: this,
      allowHalfOpen: this.allowHalfOpen,
      shutdown: (callback) => this.#shutdown(callback),
      refuses: (handshake, tls) => this.#refuses(handshake, tls),
      refused: (tls, reason) => this.#refused(tls, reason),
      settled: (handshake, tls) => this.#settled(handshake, tls),
      rejected: (error, tls) => {
        if (tls !== undefined) this.servername = servernameOf(tls);
        this.#reject(error);
      },
      emitted: (event, data) => {
        // Told after 'secureConnect', as by node:tls.
        if (event === 'session' && this.#path === null) this.#session = data;
        else if (!this.destroyed) this.emit(event, data);
      },
      failed: (error) => this.destroy(error),
    };
  }

  /** Sends FIN. Unlike net.Socket's `_final` it does not wait for 'connect', which comes later here. */
  #shutdown(callback: WriteCallback): void {
    const { connecting } = this;
    node.setConnecting(this, false);
    this.#tcpHandle().shutdown(callback);
    node.setConnecting(this, connecting);
  }

  #refuses({ observer }: Handshake, tls: TLSSocket): KtlsError | null {
    if (this.#refusal !== null) return this.#refusal;
    const { isServer, secrets, serverRandom, receiveSequence, limitsFragments } = observer;
    const planned = plan({
      isServer,
      protocol: tls.getProtocol(),
      cipher: tls.getCipher().name,
      secrets,
      serverRandom,
      receiveSequence,
      limitsFragments,
    });
    if (planned instanceof KtlsError) return planned;
    this.#plan = planned;
    return null;
  }

  #settled(handshake: Handshake, tls: TLSSocket): void {
    const channel = this.#channel!;
    let installed;
    try {
      installed = install(channel, this.#plan!, handshake.observer.sendState);
    } catch (error) {
      this.destroy(error as KtlsError);
      return;
    }
    if (installed instanceof KtlsError) {
      handshake.release();
      this.#refused(tls, installed);
      return;
    }
    this.#plan = null;
    const negotiated = snapshot(tls);
    const parts = this.#parts(installed, handshake, tls, negotiated);
    handshake.retire();
    this.#handshake = null;
    const path = new KernelPath(parts, {
      ...this.#pathOwner(),
      handle: this.#tcpHandle(),
      rekeyed: (direction, cause) => publishRekey({ socket: this, direction, cause }),
    });
    this.#secured(negotiated, path);
    const { protocol, cipher } = negotiated;
    publishOffload({ socket: this, version: protocol!, cipher: cipher.name });
  }

  /** What outlives the handshake: no more secrets than will be needed. */
  #parts(
    installed: Installed,
    handshake: Handshake,
    tls: TLSSocket,
    negotiated: Negotiated,
  ): KernelPathParts {
    const { observer } = handshake;
    const { isServer, secrets, serverRandom, receiveSequence } = observer;
    const { suite } = installed;
    if (isServer) {
      this.#facts = new ServerFacts(tls, negotiated, Exporter.of(suite, secrets, serverRandom));
    } else {
      this.#facts = tls;
      this.#shadowed = handshake;
    }
    let shadow: SessionShadow | null = null;
    let rekeying: Rekeying | null = null;
    if (suite.version === ProtocolVersion.TLS13) {
      const client = secrets.clientTrafficSecret!;
      const server = secrets.serverTrafficSecret!;
      if (kernelRekeys(suite.kernelCipher)) {
        rekeying = isServer
          ? new Rekeying(this.#channel!, server, client)
          : new Rekeying(this.#channel!, client, server);
      }
      if (!isServer) {
        shadow = new SessionShadow(suite, server, receiveSequence, (record) =>
          handshake.feed(record),
        );
      }
    }
    const { rekeyAfter } = this.#init.settings;
    return { channel: this.#channel!, installed, isServer, rekeying, rekeyAfter, shadow };
  }

  #refused(tls: TLSSocket, reason: KtlsError): void {
    publishRefusal({ socket: this, reason });
    if (this.#init.settings.mode === 'require') {
      this.destroy(reason);
      return;
    }
    const negotiated = snapshot(tls);
    this.#facts = tls;
    this.#offload = refusedState(reason, negotiated);
    this.#secured(negotiated, new UserSpacePath(tls, this.#pathOwner()));
  }

  /** What `net.Socket` itself does with the TCP handle, whichever of the sockets it is that has it. */
  #tcpHandle(): KernelPathOwner['handle'] {
    const tcp = (): Socket | undefined => this.#stream?.tcp;
    return {
      write: (...args) => (tcp() === undefined ? super._write(...args) : tcp()!._write(...args)),
      writev: (...args) =>
        tcp() === undefined ? super._writev!(...args) : tcp()!._writev!(...args),
      shutdown: (callback) =>
        tcp() === undefined ? super._final(callback) : tcp()!._final(callback),
      setNoDelay: () => void super.setNoDelay(true),
      fd: () => node.handleOf(this)?.fd ?? -1,
      bytesWritten: () => (node.handleOf(this)?.bytesWritten ?? 0) - this.#bytesInClear,
    };
  }

  /**
   * An http2 session consumes the handle in native code. It gets one that JavaScript stands behind: what
   * libuv reads from the TCP handle itself would miss every control record.
   */
  #serveConsumers(): void {
    if (this.alpnProtocol !== 'h2' && !node.expectsHttp2Session(this)) {
      node.refuseConsumers(node.handleOf(this)!);
      return;
    }
    this.#stream = new node.StreamHandle(this, {
      readStart: () => this.#path?.read(),
      readStop: () => {
        if (!this.#peerEnded) this.#path?.pause();
      },
      write: (chunks, done) => {
        const encoding = 'buffer' as BufferEncoding;
        this.#path!.writev(
          chunks.map((chunk) => ({ chunk, encoding })),
          done,
        );
      },
      shutdown: (done) => this.#path!.finish(done),
    });
  }

  #secured(negotiated: Negotiated, path: DataPath): void {
    this.#negotiated = negotiated;
    this.authorized = negotiated.authorized;
    this.authorizationError = negotiated.authorizationError;
    this.alpnProtocol = negotiated.alpnProtocol;
    this.servername = negotiated.servername;
    this.secureConnecting = false;
    node.setConnecting(this, false);
    this.#path = path;
    if (node.isUnderTls(node.handleOf(this)!)) {
      // It waits for 'connect', and would then read and write past all that we do.
      this.destroy(new KtlsError('ERR_KTLS_NESTED'));
      return;
    }
    this.#serveConsumers();

    const held = this.#held;
    this.#held = null;
    held?.write(path);
    try {
      this.#init.secured(this);
      this.#tellSession();
    } finally {
      // Even if a listener threw: the application may catch that.
      if (!this.destroyed) this.#startReading();
    }
  }

  #tellSession(): void {
    const session = this.#session;
    this.#session = null;
    if (session !== null && !this.destroyed) this.emit('session', session);
  }

  /** As net.Socket does once it is connected: reading starts even before anybody listens. */
  #startReading(): void {
    if (this.#readWanted) this._read(0);
    else if (!this.isPaused()) this.read(0);
  }

  // --- The stream ---

  #pathOwner() {
    return {
      deliver: (chunk: Buffer) => this.#receive(chunk),
      deliverEnd: (closeNotify: boolean) => {
        this.closeNotifyReceived = closeNotify;
        if (this.#stream !== null) {
          this.#stream.deliverEnd();
          return;
        }
        this.push(null);
        this.read(0);
      },
      destroy: (error?: Error) => void this.destroy(error),
      waiting: (waits: boolean) => {
        this.#waiting = waits;
        this.#updateReference();
      },
      reset: (error: Error) => node.resetWith(this, error),
      fileProgress: (bytes: number) => {
        this.#fileBytes += bytes;
        node.touchTimeout(this);
      },
    };
  }

  #receive(chunk: Buffer): boolean {
    this.#received += chunk.length;
    node.touchTimeout(this);
    return this.#deliver(chunk);
  }

  #deliver(chunk: Buffer): boolean {
    if (this.#stream !== null) return this.#stream.deliver(chunk) || this.#peerEnded;
    const { onread } = this.#init;
    if (onread === undefined) return this.push(chunk);
    const next = (): Uint8Array =>
      typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer;
    this.#halted = false;
    const halted = (): boolean => this.#halted;
    for (let offset = 0; offset < chunk.length;) {
      const target = (this.#target ??= next());
      const part = chunk.subarray(offset, offset + target.length);
      target.set(part);
      offset += part.length;
      const more = onread.callback(part.length, target) as boolean | undefined;
      // Ahead of the next bytes, as net.Socket asks for it.
      this.#target = next();
      if (more === false || halted()) {
        this.#undelivered = chunk.subarray(offset);
        return false;
      }
    }
    return true;
  }

  override _read(size: number): void {
    this.#readWanted = true;
    // By way of the handle, which notes that it is reading.
    if (this.#stream !== null) super._read(size);
    else this.#path?.read();
  }

  // A consumer with its own buffer (`onread`) is outside the Readable's accounting, as in net.Socket.
  override pause(): this {
    if (this.#init.onread !== undefined) {
      this.#halted = true;
      this.#path?.pause();
    }
    return super.pause();
  }

  override resume(): this {
    if (this.#init.onread !== undefined) this.#resumeOnread();
    return super.resume();
  }

  #resumeOnread(): void {
    const rest = this.#undelivered;
    this.#undelivered = null;
    if (rest === null || this.#deliver(rest)) this.#path?.read();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    const file = fileRequest(chunk);
    this.#whenSecured(
      (path) =>
        file === undefined ? path.write(chunk, encoding, callback) : path.sendFile(file, callback),
      callback,
    );
  }

  override _writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#whenSecured((path) => writeInOrder(path, chunks, callback), callback);
  }

  override _final(callback: WriteCallback): void {
    this.#whenSecured((path) => {
      if (this.#stream !== null) this.#stream.whenIdle(() => path.finish(callback));
      else path.finish(callback);
    }, callback);
  }

  /** A Writable has one of these under way at most, so there is one place to hold it. */
  #whenSecured(write: (path: DataPath) => void, callback: WriteCallback): void {
    if (this.#path !== null) write(this.#path);
    else this.#held = { write, callback };
  }

  /** Tells the server, once. */
  #reject(error: Error): void {
    if (this.#rejected || !this.secureConnecting) return;
    this.#rejected = true;
    // A socket that is connecting has no addresses.
    node.setConnecting(this, false);
    this.#init.rejected?.(error);
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    if (error !== null) {
      publishError({ socket: this, error });
      this.#reject(error);
    }
    const channel = this.#channel;
    this.#path?.close(error);
    this.#handshake?.abandon(error);
    if (this.#shadowed !== null) {
      this.#shadowed.free();
      this.#facts = null;
    }
    if (this.#facts instanceof ServerFacts) this.#facts.wipe();
    if (channel !== null) {
      discardReceived(channel, this.#path === null ? FLIGHT : undefined);
      channel.close();
    }
    const held = this.#held;
    this.#held = null;
    held?.callback(error ?? new KtlsError('ERR_KTLS_CLOSED'));
    super._destroy(error, callback);
    this.#taken?.release();
  }

  /** Unlike net.Socket's it does not wait for 'connect', which here comes after the handshake. */
  override resetAndDestroy(): this {
    if (this.#channel !== null) node.setConnecting(this, false);
    if (this.#stream === null) return super.resetAndDestroy();
    this.#stream.tcp.resetAndDestroy();
    return this.destroy();
  }

  override ref(): this {
    this.#referenced = true;
    this.#updateReference();
    return super.ref();
  }

  override unref(): this {
    this.#referenced = false;
    this.#updateReference();
    return super.unref();
  }

  #updateReference(): void {
    if (this.#referenced && this.#waiting) this.#channel?.ref();
    else this.#channel?.unref();
  }
}

/**
 * `OffloadedSocket`: a `net.Socket` whose bytes the kernel encrypts. From the outside it is a TLS socket;
 * inside it is the TCP connection itself, which no byte of the application can reach before the keys are
 * installed: until then it has no data path, and writes wait.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { ConnectionOptions, Server, TLSSocket } from 'node:tls';
import { publishError, publishOffload, publishRefusal } from '../diagnostics.js';
import { KtlsError, invalidType, outOfRange } from '../errors.js';
import type { ForwardedEvent, Handshake } from '../handshake/handshake.js';
import { type Negotiated, servernameOf, snapshot } from '../handshake/negotiated.js';
import { ServerFacts, type TlsFacts } from '../handshake/tls-facts.js';
import { type Channel, Ready } from '../kernel/binding.js';
import * as node from '../node-private.js';
import { type OffloadSettings, type SendFileInit, parseSendFile } from '../options.js';
import { maxPlaintextLength } from '../tls/constants.js';
import { unharmed } from '../unharmed.js';
import type { Outlives } from './after-handshake.js';
import type { DataPath, WriteCallback } from './data-path.js';
import type { FileSource } from './file-source.js';
import { HandOver, type HandOverOwner } from './hand-over.js';
import { expectsHttp2, isNested, redirectOnce } from './handle-takers.js';
import { KernelPath } from './kernel-path.js';
import {
  type OffloadState,
  kernelState,
  pendingState,
  refusedState,
  withZeroCopy,
} from './offload-state.js';
import { PathSocket } from './path-socket.js';
import { FLIGHT, discardReceived } from './receiver.js';
import { FileRequest, queueFile } from './send-file.js';
import { tlsFacts } from './tls-api.js';
import { UserSpacePath } from './user-space-path.js';

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

export class OffloadedSocket extends PathSocket {
  /** The server that accepted the connection; `null` on a client, as every `net.Socket` has it. */
  declare readonly server: Server | null;

  /** `null` once the connection is secured. */
  #init: OffloadedSocketInit | null;
  readonly #isServer: boolean;
  #rejected = false;
  /** On offer to the server. */
  #protocols: ConnectionOptions['ALPNProtocols'];
  /** The TCP connection stands, and 'connect' will say so when the connection is secured. */
  #connectWithheld = false;
  /** The socket whose connection this was. */
  #taken: node.TakenOver | null = null;
  /** `null` once the connection is under kernel TLS. */
  #handOver: HandOver | null = null;
  #negotiated: Negotiated | null = null;
  #facts: TlsFacts | null = null;
  /** Of a client: its TLS object takes session tickets until the socket closes. */
  #shadowed: Handshake | null = null;
  /** A session that came before the connection was secured. */
  #session: Buffer | null = null;
  #offload: OffloadState = pendingState;

  static {
    // Called by the constructors of streams, too.
    redirectOnce(this.prototype, (it, event) => (#init in it ? it.#awaited(event) : event));
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
    this.#isServer = server !== undefined;
    if (server !== undefined) this.server = server;
    node.setConnecting(this, true);
  }

  /**
   * What the kernel does for this connection. Frozen; asked of the kernel when first read, and of a socket
   * that is closed by then nobody can say more than that the kernel did it.
   */
  get offload(): OffloadState {
    if (this.#offload === pendingState && this.dataPath instanceof KernelPath) {
      this.#offload = kernelState(this.channel!, this.#negotiated!);
    }
    if (this.dataPath instanceof KernelPath) {
      this.#offload = withZeroCopy(this.#offload, this.dataPath.zeroCopy);
    }
    return this.#offload;
  }

  /** @internal */
  override [tlsFacts](): TlsFacts | null {
    return this.#facts ?? this.#handOver?.tls ?? null;
  }

  protected override get isServer(): boolean {
    return this.#isServer;
  }

  protected override get carriedByNode(): boolean {
    return this.dataPath instanceof UserSpacePath;
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
    return this.dataPath?.setMaxFragment(size) ?? false;
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
      if (this.dataPath instanceof KernelPath && !this.destroyed) {
        this.dataPath.updateKeys(requestPeer, done);
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
    this.#protocols = options.ALPNProtocols;
    this.#handOver = HandOver.connect(this.#handOverOwner(), options, raw);
    if (raw !== undefined) this.#handOver.takeOver(raw);
  }

  /** @internal Server: the handle of `raw` is ours, and the TLS layer attached to it. */
  startServer(
    server: Server,
    listener: node.ConnectionListener,
    raw: Socket,
    channel: Channel,
  ): void {
    this.countFrom(node.handleOf(this)!);
    this.#handOver = HandOver.accept(this.#handOverOwner(), server, listener, raw);
    this.#handOver.attach(channel);
  }

  /** @internal The events of a channel go to whoever is at work. */
  channelReady(events: number): void {
    if (this.dataPath instanceof KernelPath) {
      try {
        this.dataPath.ready(events);
      } finally {
        if (events & Ready.PEER_HALF_CLOSED) this.peerEnded();
      }
    } else {
      this.#handOver?.ready(events);
    }
  }

  /**
   * The TCP connection's 'connect' begins the handshake, and says no more than that. Whoever takes the handle
   * then, to read and write it in native code, must not hear of it before the keys are there.
   */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (this.dataPath !== null || (event !== 'connect' && event !== 'ready')) {
      return super.emit(event, ...args);
    }
    if (event === 'connect') {
      const nested = isNested(this);
      this.#connectWithheld = nested || expectsHttp2(this, this.#protocols);
      node.setConnecting(this, this.#connectWithheld);
      if (nested) this.destroy(new KtlsError('ERR_KTLS_NESTED'));
      else this.#handOver?.tcpConnected();
    }
    return this.#connectWithheld || super.emit(event, ...args);
  }

  /** Somebody waits for 'connect'. @returns what it is to wait for: http2 and node:tls may come when it has passed */
  #awaited(event: string | symbol): string | symbol {
    if (event !== 'connect' || this.connecting || !this.secureConnecting) return event;
    if (isNested(this)) {
      const error = new KtlsError('ERR_KTLS_NESTED');
      this.destroy(error);
      // Out of `tls.connect`, before it begins a handshake of its own.
      throw error;
    }
    // Without `ktls/register` an http2 session does not take us for a TLSSocket.
    return expectsHttp2(this, this.#protocols) ? 'secureConnect' : event;
  }

  #handOverOwner(): HandOverOwner {
    return {
      socket: this,
      allowHalfOpen: this.allowHalfOpen,
      settings: this.#init!.settings,
      bound: (taken) => {
        this.#taken = taken;
      },
      adopted: (handle) => this.countFrom(handle),
      attached: (channel) => this.watch(channel),
      channelReady: (events) => this.channelReady(events),
      shutdown: (callback) => this.#shutdown(callback),
      offloaded: (left) => this.#offloaded(left),
      refused: (tls, reason) => this.#refused(tls, reason),
      rejected: (error, tls) => {
        if (tls !== undefined) this.#learn(tls);
        // node:tls ends without an error what it rejects.
        if (!this.#rejected) publishError({ socket: this, error });
        this.#reject(error);
      },
      emitted: (event, data) => {
        // Told after 'secureConnect', as by node:tls.
        if (event === 'session' && this.dataPath === null) this.#session = data;
        else this.#tell(event, data);
      },
      failed: (error) => {
        const tls = this.#handOver?.tls;
        if (tls) this.#learn(tls);
        this.destroy(error);
      },
    };
  }

  /** Of a handshake that has failed: with whom, and what is wrong with the peer's certificate. */
  #learn(tls: TLSSocket): void {
    this.servername = servernameOf(tls);
    this.authorizationError = tls.authorizationError;
  }

  /** Sends FIN. Unlike net.Socket's `_final` it does not wait for 'connect', which may come later here. */
  #shutdown(callback: WriteCallback): void {
    const { connecting } = this;
    node.setConnecting(this, false);
    // Not our own, which is of the path.
    Socket.prototype._final.call(this.tcp, callback);
    node.setConnecting(this, connecting);
  }

  #offloaded({ negotiated, facts, shadowed, parts }: Outlives): void {
    this.#facts = facts;
    this.#shadowed = shadowed;
    this.#handOver = null;
    this.#secured(negotiated, new KernelPath(parts, this.pathOwner()));
  }

  #refused(tls: TLSSocket, reason: KtlsError): void {
    publishRefusal({ socket: this, reason });
    if (this.#init!.settings.mode === 'require') {
      this.destroy(reason);
      return;
    }
    const negotiated = snapshot(tls);
    this.#facts = tls;
    this.#offload = refusedState(reason, negotiated);
    const handOver = this.#handOver!;
    const path = new UserSpacePath(tls, () => handOver.peerEnded, this.pathOwner());
    // On OpenSSL's stack: an exception of a listener must not pass through it.
    unharmed(() => this.#secured(negotiated, path));
  }

  #secured(negotiated: Negotiated, path: DataPath): void {
    const { onread, secured } = this.#init!;
    this.#init = null;
    this.#negotiated = negotiated;
    this.tlsEstablished(negotiated);
    node.setConnecting(this, false);
    if (isNested(this)) {
      // It would read and write past all that we do.
      this.usePath(path);
      this.destroy(new KtlsError('ERR_KTLS_NESTED'));
      return;
    }
    this.openPath(path, onread);
    try {
      if (this.#connectWithheld) {
        this.emit('connect');
        if (!this.destroyed) this.emit('ready');
      }
      secured(this);
      this.#tellSession();
    } finally {
      // Even if a listener threw: the application may catch that.
      this.announced();
      if (isNested(this)) this.destroy(new KtlsError('ERR_KTLS_NESTED'));
      this.writeHeld();
      this.startReading();
      if (path instanceof KernelPath) publishOffload(this, negotiated);
    }
  }

  #tellSession(): void {
    const session = this.#session;
    this.#session = null;
    if (session !== null) this.#tell('session', session);
  }

  /** A secret that nobody has asked for must not wait for the garbage collector. */
  #tell(event: ForwardedEvent, data: Buffer): void {
    const told = !this.destroyed && this.emit(event, data);
    if (!told && event !== 'OCSPResponse' && !(event === 'keylog' && node.keepsKeylog))
      data.fill(0);
  }

  /** Tells the server, once. */
  #reject(error: Error): void {
    if (this.#rejected || !this.secureConnecting) return;
    this.#rejected = true;
    // A socket that is connecting has no addresses.
    node.setConnecting(this, false);
    unharmed(() => this.#init?.rejected?.(error));
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    if (error !== null) {
      if (!this.#rejected) publishError({ socket: this, error });
      this.#reject(error);
    }
    const channel = this.channel;
    this.dataPath?.close(error);
    this.#handOver?.abandon(error);
    if (this.#shadowed !== null) {
      this.#shadowed.free();
      this.#facts = null;
    }
    if (this.#facts instanceof ServerFacts) this.#facts.wipe();
    this.#session?.fill(0);
    if (channel !== null) {
      discardReceived(channel, this.dataPath === null ? FLIGHT : undefined);
      channel.close();
    }
    super._destroy(error, callback);
    this.#taken?.release();
  }

  /** With nothing to send there is nothing to wait for, and a peer may never end the handshake. */
  override destroySoon(): void {
    if (this.dataPath === null && this.writableLength === 0) this.destroy();
    else super.destroySoon();
  }

  /** Unlike net.Socket's it does not wait for 'connect', which here may come after the handshake. */
  override resetAndDestroy(): this {
    const { tcp } = this;
    if (tcp !== this) tcp.resetAndDestroy();
    // Without a channel there is no connection yet that could be reset.
    if (tcp !== this || this.channel === null) return this.destroy();
    node.setConnecting(this, false);
    return super.resetAndDestroy();
  }
}

/**
 * A socket whose data path comes later: until then what is written waits, and so does who reads. It knows
 * nothing of how the path comes to be.
 */
import { type OnReadOpts, Socket, type SocketConnectOpts } from 'node:net';
import { publishRekey } from '../diagnostics.js';
import { KtlsError } from '../errors.js';
import type { Channel } from '../kernel/binding.js';
import * as node from '../node-private.js';
import { unharmed } from '../unharmed.js';
import { type Consumer, consumerOf } from './consumers.js';
import type { Chunk, DataPath, WriteCallback } from './data-path.js';
import type { KernelPathOwner } from './kernel-path.js';
import type { RekeyCause } from './key-updates.js';
import { fileRequest, writeInOrder } from './send-file.js';
import { TcpSide, type TcpSideOwner } from './tcp-side.js';
import { TlsApi } from './tls-api.js';
import { UserSpacePath } from './user-space-path.js';

export abstract class PathSocket extends TlsApi {
  /**
   * Whether the peer's close_notify arrived, also where node:tls carries the connection: after 'end', `false`
   * means that the stream may have been truncated (RFC 8446 section 6.1).
   */
  closeNotifyReceived = false;

  #path: DataPath | null = null;
  #consumer: Consumer | null = null;
  #channel: Channel | null = null;
  #held: { write: (path: DataPath) => void; callback: WriteCallback } | null = null;
  #readWanted = false;
  #fileBytes = 0;
  /** What was written to the connection before it was ours, which is no plaintext of TLS. */
  #bytesInClear = 0;
  #reading = true;
  #sending = false;
  #referenced = true;

  static {
    // Accessors of the prototype in Node, properties in its types.
    Object.defineProperties(this.prototype, {
      bytesRead: {
        configurable: true,
        get(this: PathSocket) {
          return this.#consumer?.bytesRead ?? 0;
        },
      },
      bytesWritten: {
        configurable: true,
        get(this: PathSocket) {
          return this.#path instanceof UserSpacePath
            ? this.#path.bytesWritten
            : node.bytesWritten(this) - this.#bytesInClear + this.#fileBytes;
        },
      },
    });
  }

  /** @internal How bytes move, once the connection is secured. */
  protected get dataPath(): DataPath | null {
    return this.#path;
  }

  /** @internal The socket that has the TCP handle: another if an http2 session has this one's. */
  protected get tcp(): Socket {
    return this.#consumer?.tcp ?? this;
  }

  /** @internal What watches the TCP connection, and keeps the event loop alive for it. */
  protected get channel(): Channel | null {
    return this.#channel;
  }

  /** @internal */
  protected watch(channel: Channel): void {
    this.#channel = channel;
    this.#updateReference();
  }

  /** @internal The socket has this handle from now on. */
  protected countFrom(handle: node.TcpHandle): void {
    this.#bytesInClear = handle.bytesWritten;
    this.#referenced = handle.hasRef();
  }

  /** @internal It is closed with the socket; nothing moves yet. */
  protected usePath(path: DataPath): void {
    this.#path = path;
  }

  /** @internal From here on bytes move: what is held by `writeHeld`, and to a reader by `startReading`. */
  protected openPath(path: DataPath, onread: OnReadOpts | undefined): void {
    const http2 = this.alpnProtocol === 'h2' || node.expectsHttp2Session(this);
    this.usePath(path);
    this.#consumer = consumerOf(this, path, http2, onread);
  }

  /**
   * @internal What was written before the connection was secured. Not before its listeners have been called: they
   * may destroy the socket because the peer is not who it should be.
   */
  protected writeHeld(): void {
    const held = this.destroyed ? null : this.#held;
    if (held === null) return;
    this.#held = null;
    // Its callback may come at once, and is the application's.
    unharmed(() => held.write(this.#path!));
  }

  /** @internal The listeners of a secured connection have been called. */
  protected announced(): void {
    this.#consumer?.announced();
  }

  /** @internal FIN has come. */
  protected peerEnded(): void {
    if (this.#consumer?.peerEnded() === true) this.#path!.read();
  }

  /**
   * @internal As TLSSocket does once it is secured: reading starts before anybody listens, and although it is
   * paused, so that the end of a stream without data shows all the same. As libuv reads: behind whatever goes on
   * when the listeners have returned.
   */
  protected startReading(): void {
    const wanted = this.#readWanted;
    this.#readWanted = false;
    setImmediate(() => {
      // Who has begun to read meanwhile may have paused again.
      if (this.destroyed || this.#readWanted) return;
      if (wanted) this._read(0);
      else this.read(0);
    });
  }

  /**
   * As that of `net.Socket`, and once: what a second connection carries would have no TLS.
   *
   * @throws KtlsError `ERR_KTLS_RECONNECT`
   */
  override connect(to: SocketConnectOpts | number | string, listener?: () => void): this;
  override connect(port: number, host: string, listener?: () => void): this;
  override connect(...args: unknown[]): this {
    if (this.#path !== null || this.destroyed) throw new KtlsError('ERR_KTLS_RECONNECT');
    return (super.connect as (...args: unknown[]) => this)(...args);
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    super._destroy(error, callback);
    // What is held will not be written. The application hears of it behind the error, and may throw.
    const held = this.#held;
    this.#held = null;
    if (held !== null) process.nextTick(held.callback, error ?? new KtlsError('ERR_KTLS_CLOSED'));
  }

  /** @internal What a path asks of this socket, and tells it. */
  protected pathOwner(): KernelPathOwner {
    return new PathSocket.#PathOwner(this);
  }

  /** One object, and no closures: what they take is much of the memory of an idle connection. */
  static readonly #PathOwner = class implements KernelPathOwner, TcpSideOwner {
    readonly #socket: PathSocket;
    readonly handle: TcpSide;

    constructor(socket: PathSocket) {
      this.#socket = socket;
      this.handle = new TcpSide(this, socket.#bytesInClear);
    }

    get tcp(): Socket {
      return this.#socket.tcp;
    }

    deliver(chunk: Buffer): boolean {
      return this.#socket.#consumer!.deliver(chunk);
    }

    deliverEnd(closeNotify: boolean): void {
      this.#socket.closeNotifyReceived = closeNotify;
      this.#socket.#consumer!.deliverEnd();
    }

    destroy(error?: Error): void {
      this.#socket.destroy(error);
    }

    waiting(reading: boolean, sending: boolean): void {
      this.#socket.#reading = reading;
      this.#socket.#sending = sending;
      this.#socket.#updateReference();
    }

    reset(error: Error): void {
      node.resetWith(this.#socket, error, this.tcp);
    }

    progressed(): void {
      node.touchTimeout(this.#socket);
    }

    fileProgress(bytes: number): void {
      this.#socket.#fileBytes += bytes;
      node.touchTimeout(this.#socket);
    }

    rekeyed(direction: 'tx' | 'rx', cause: RekeyCause): void {
      publishRekey({ socket: this.#socket, direction, cause });
    }
  };

  override _read(size: number): void {
    this.#readWanted = true;
    if (this.#consumer?.byHandle === true) super._read(size);
    else this.#path?.read();
  }

  override pause(): this {
    if (this.#consumer?.pause() === true) this.#path!.pause();
    return super.pause();
  }

  override resume(): this {
    if (this.#consumer?.resume() === true) this.#path!.read();
    return super.resume();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    const file = fileRequest(chunk);
    if (file !== undefined) this.#whenOpen((path) => path.sendFile(file, callback), callback);
    else if (this.#path !== null) this.#path.write(chunk, encoding, callback);
    else this.#whenOpen((path) => path.write(chunk, encoding, callback), callback);
  }

  override _writev(chunks: Chunk[], callback: WriteCallback): void {
    if (this.#path !== null) writeInOrder(this.#path, chunks, callback);
    else this.#whenOpen((path) => writeInOrder(path, chunks, callback), callback);
  }

  override _final(callback: WriteCallback): void {
    if (this.#path === null && node.expectsHttp2Session(this)) {
      // The session is over before its connection is secured: the peer may never end the handshake.
      this.destroy();
      return;
    }
    this.#whenOpen((path) => {
      this.#consumer!.whenIdle(() => {
        if (!this.destroyed) path.finish(callback);
      });
    }, callback);
  }

  /** A Writable has one of these under way at most, so there is one place to hold it. */
  #whenOpen(write: (path: DataPath) => void, callback: WriteCallback): void {
    if (this.#path !== null) write(this.#path);
    else this.#held = { write, callback };
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
    if (this.#sending || (this.#referenced && this.#reading)) this.#channel?.ref();
    else this.#channel?.unref();
  }
}

/** Who gets what has been decrypted: the Readable, or another that takes its place. */
import type { OnReadOpts, Socket } from 'node:net';
import { constants } from 'node:os';
import { errnoError } from '../errors.js';
import * as node from '../node-private.js';
import { unharmed } from '../unharmed.js';
import type { DataPath } from './data-path.js';
import { KernelPath } from './kernel-path.js';

const { ENOBUFS } = constants.errno;
const NOTHING = Buffer.alloc(0);

/** The Readable's reader. */
export class Consumer {
  /** Whether reading is asked for by way of the socket's handle, which notes that it is reading. */
  readonly byHandle: boolean = false;
  protected readonly socket: Socket;
  #received = 0;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get bytesRead(): number {
    return this.#received;
  }

  /** The socket that has the TCP handle. */
  get tcp(): Socket {
    return this.socket;
  }

  /** @returns whether it wants more */
  deliver(chunk: Buffer): boolean {
    this.#received += chunk.length;
    node.touchTimeout(this.socket);
    return this.take(chunk);
  }

  protected take(chunk: Buffer): boolean {
    return this.socket.push(chunk);
  }

  deliverEnd(): void {
    this.socket.push(null);
    this.socket.read(0);
  }

  /** Whether this, and not the Readable alone, is asked to pause and resume. */
  pause(): boolean {
    return false;
  }

  /** @returns whether reading starts now */
  resume(): boolean {
    return false;
  }

  /** All listeners have seen the socket: who is to consume its handle in native code does by now. */
  announced(): void {
    // The Readable consumes nothing.
  }

  /** FIN has come. @returns whether reading starts now, asked for or not */
  peerEnded(): boolean {
    return false;
  }

  /** Calls back when nothing is under way that it has written itself. */
  whenIdle(callback: () => void): void {
    callback();
  }
}

/** A program's own buffer, as `net.connect` takes one: outside of the Readable's accounting. */
class OwnBuffer extends Consumer {
  readonly #onread: OnReadOpts;
  /** Where the next bytes go. */
  #target: Uint8Array = NOTHING;
  /** It wants no more for now. */
  #halted = false;
  /** It is being called, and what it says meanwhile counts when that is over. */
  #calling = false;
  /** What it has not got yet. */
  #rest: Buffer = NOTHING;
  /** The end is behind that. */
  #ended = false;

  constructor(socket: Socket, onread: OnReadOpts) {
    super(socket);
    this.#onread = onread;
    unharmed(() => this.#refill());
  }

  /** What is no buffer leaves the one there is, as with net.Socket. */
  #refill(): void {
    const { buffer } = this.#onread;
    const next: unknown = typeof buffer === 'function' ? buffer() : buffer;
    if (next instanceof Uint8Array) this.#target = next;
  }

  protected override take(chunk: Buffer): boolean {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    return this.#calling || this.#deliverRest();
  }

  override deliverEnd(): void {
    this.#ended = true;
    if (!this.#calling) this.#deliverRest();
  }

  /** @returns whether it has got all of it and wants more */
  #deliverRest(): boolean {
    this.#calling = true;
    // It may have ended the connection.
    while (this.#rest.length > 0 && !this.#halted && !this.socket.destroyed) {
      unharmed(this.#deliverPart);
    }
    this.#calling = false;
    if (this.#ended && !this.#halted) {
      this.#ended = false;
      super.deliverEnd();
    }
    return !this.#halted;
  }

  readonly #deliverPart = (): void => {
    const target = this.#target;
    if (target.length === 0) {
      // As libuv has it.
      this.socket.destroy(errnoError(-ENOBUFS, 'read'));
      return;
    }
    const part = this.#rest.subarray(0, target.length);
    target.set(part);
    // First of all: whatever is thrown below, it has got these.
    this.#rest = this.#rest.subarray(part.length);
    const more: unknown = this.#onread.callback.call(this.socket, part.length, target);
    if (more === false) this.#halted = true;
    // Ahead of the next bytes, as net.Socket asks for it.
    this.#refill();
  };

  override pause(): boolean {
    this.#halted = true;
    return !this.#calling;
  }

  override resume(): boolean {
    this.#halted = false;
    return !this.#calling && this.#deliverRest();
  }
}

/** Whoever reads the handle, in JavaScript or in native code: what comes this way is only the end. */
class HandleReader extends Consumer {
  override readonly byHandle = true;
  /** What had come to the handle in clear. */
  readonly #before: number;

  constructor(socket: Socket) {
    super(socket);
    this.#before = node.bytesRead(socket);
  }

  override get bytesRead(): number {
    return node.bytesRead(this.socket) - this.#before;
  }

  /** The HTTP/1 parser does it as soon as it gets the socket; node:tls, at any time, would read past us. */
  override announced(): void {
    const handle = node.handleOf(this.socket);
    if (handle !== null) node.refuseConsumers(handle);
  }
}

/**
 * An http2 session, which reads and writes its handle in native code. It gets one that JavaScript stands
 * behind: what it writes may have to wait for a KeyUpdate.
 */
class Http2Consumer extends Consumer {
  override readonly byHandle = true;
  readonly #stream: node.StreamHandle;
  /**
   * FIN has come. A session that has nothing to wait for stops reading, and learns of the end only because
   * node:tls reads on. So do we from now on: no more can come than the kernel holds.
   */
  #ended = false;

  constructor(socket: Socket, path: DataPath) {
    super(socket);
    this.#stream = new node.StreamHandle(socket, {
      readStart: () => path.read(),
      readStop: () => {
        if (!this.#ended) path.pause();
      },
      write: (chunks, done) => {
        const encoding = 'buffer' as BufferEncoding;
        path.writev(
          chunks.map((chunk) => ({ chunk, encoding })),
          done,
        );
      },
      shutdown: (done) => path.finish(done),
    });
  }

  override get tcp(): Socket {
    return this.#stream.tcp;
  }

  protected override take(chunk: Buffer): boolean {
    return this.#stream.deliver(chunk) || this.#ended;
  }

  override peerEnded(): boolean {
    const first = !this.#ended;
    this.#ended = true;
    return first;
  }

  override deliverEnd(): void {
    this.#stream.deliverEnd();
  }

  override whenIdle(callback: () => void): void {
    this.#stream.whenIdle(callback);
  }
}

/** Data goes where libuv would bring it, if that is where it is wanted. */
function feedsHandle(socket: Socket, path: DataPath): boolean {
  if (!(path instanceof KernelPath) || node.readsIntoUserBuffer(socket)) return false;
  const handle = node.handleOf(socket)!;
  if (node.whileReading(handle, () => path.feedStream()) !== true) return false;
  node.feedBy(handle, path);
  return true;
}

/**
 * Who reads the socket from now on.
 *
 * @param http2 - Whether an http2 session is going to consume its handle.
 */
export function consumerOf(
  socket: Socket,
  path: DataPath,
  http2: boolean,
  onread: OnReadOpts | undefined,
): Consumer {
  if (http2) return new Http2Consumer(socket, path);
  if (onread === undefined && feedsHandle(socket, path)) return new HandleReader(socket);
  node.refuseConsumers(node.handleOf(socket)!);
  return onread === undefined ? new Consumer(socket) : new OwnBuffer(socket, onread);
}

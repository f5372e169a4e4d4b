/**
 * A file on its way through `sendfile(2)`: chunk by chunk in libuv's thread pool, so that neither the
 * disk nor the kernel's cryptography holds the event loop, and other transfers get their turn between
 * two chunks.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { type FileSender, type NativeBinding } from '../kernel/binding.js';
import type { OpenFile } from './file-source.js';

/**
 * The most that is sent on the event loop itself, where it need not wait for the disk: two pieces of a
 * `ReadStream`. The turn of the thread pool that it saves costs more.
 */
const AT_ONCE = 128 * 1024;

const { EBADF } = constants.errno;
const EAGAIN = -constants.errno.EAGAIN;
const ENODATA = -constants.errno.ENODATA;

/** What becomes of a file; nothing is called any more behind `done`. */
export interface TransferSink {
  progress: (bytes: number) => void;
  /** All of it was taken by the kernel, or what stopped it. */
  done: (error: Error | null) => void;
}

/** Of what else happens on the connection. */
export interface TransferOwner extends TransferSink {
  /** Whether so many bytes may be sent now; if not `writable()` must be called when they may. */
  mayContinue?: (bytes: number) => boolean;
}

/** A file that is to be sent. */
export interface Transfer {
  /** Sends the first of it, which may be all: its sink may have been called when this returns. */
  start(): void;
  /** Stops it; its sink is not called any more. */
  cancel(): void;
}

export class FileTransfer implements Transfer {
  readonly #binding: NativeBinding;
  readonly #socket: () => number;
  readonly #file: OpenFile;
  #sender: FileSender | null = null;
  readonly #chunkSize: number;
  readonly #owner: TransferOwner;
  readonly #blocked: () => void;
  #position: number;
  #left: number;
  /** A chunk is in the thread pool. */
  #sending = false;
  /** The socket became writable since that chunk left: its EAGAIN may be out of date. */
  #writable = false;
  /** The owner is asked whether it may go on: to be told meanwhile that it may is no news. */
  #asking = false;
  #over = false;

  /**
   * @param socket - The fd of a connected stream socket; -1 when it is closed.
   * @param blocked - Called when the socket takes no more; then `writable()` must be called when it does. What it
   *   throws ends the transfer.
   */
  constructor(
    binding: NativeBinding,
    socket: () => number,
    file: OpenFile,
    chunkSize: number,
    owner: TransferOwner,
    blocked: () => void = () => undefined,
  ) {
    this.#binding = binding;
    this.#socket = socket;
    this.#file = file;
    this.#owner = owner;
    this.#chunkSize = chunkSize;
    this.#blocked = blocked;
    this.#position = file.start;
    this.#left = file.length;
  }

  start(): void {
    this.#next();
  }

  /** The socket may take more. */
  writable(): void {
    if (this.#sending) this.#writable = true;
    else if (!this.#asking) this.#next();
  }

  cancel(): void {
    this.#over = true;
    this.#sender?.close();
  }

  /** Whether a chunk is in the thread pool, which sends on the socket. */
  get sending(): boolean {
    return this.#sending;
  }

  #next(): void {
    if (this.#over || this.#sending) return;
    this.#writable = false;
    const bytes = Math.min(this.#left, this.#chunkSize);
    this.#asking = true;
    const mayContinue = this.#owner.mayContinue?.(bytes) !== false;
    this.#asking = false;
    // It may have ended the connection.
    if (!mayContinue || this.#isOver()) return;
    const socket = this.#socket();
    if (socket < 0) this.#finish(errnoError(-EBADF, 'sendfile'));
    else if (this.#isAtHand(bytes)) this.#sendNow(socket, bytes);
    else this.#sendFromPool(socket, bytes);
  }

  /** Whether these bytes are the last ones, few, and in the page cache. */
  #isAtHand(bytes: number): boolean {
    const { fd, local } = this.#file;
    const few = bytes === this.#left && bytes <= AT_ONCE;
    return few && local && this.#binding.isCached(fd, this.#position, bytes);
  }

  #sendNow(socket: number, bytes: number): void {
    const result = this.#binding.sendFileNow(socket, this.#file.fd, this.#position, bytes);
    // Whatever cut it short is said again, when the rest is tried.
    if (result < 0) this.#sent(0, result);
    else this.#sent(result, 0);
  }

  #sendFromPool(socket: number, bytes: number): void {
    try {
      this.#sender ??= new this.#binding.FileSender(socket, this.#file.fd, (...sent) => {
        this.#sending = false;
        this.#sent(...sent);
      });
    } catch (error) {
      this.#finish(error as Error);
      return;
    }
    const result = this.#sender.send(this.#position, bytes);
    if (result < 0) this.#finish(errnoError(result, 'sendfile'));
    else this.#sending = true;
  }

  #sent(bytes: number, status: number): void {
    this.#position += bytes;
    this.#left -= bytes;
    if (bytes > 0) this.#owner.progress(bytes);
    // The owner may have cancelled it. For the compiler nothing can have.
    if (this.#isOver()) return;
    if (this.#left === 0) this.#finish(null);
    else if (status === ENODATA) this.#finish(truncated(this.#position));
    else if (status < 0 && status !== EAGAIN) this.#finish(errnoError(status, 'sendfile'));
    else if (status === 0 || this.#writable) this.#next();
    else this.#wait();
  }

  #wait(): void {
    try {
      this.#blocked();
    } catch (error) {
      this.#finish(error as Error);
    }
  }

  #isOver(): boolean {
    return this.#over;
  }

  #finish(error: Error | null): void {
    this.cancel();
    this.#owner.done(error);
  }
}

/** @param size - Of the file, now. */
export const truncated = (size: number): KtlsError =>
  new KtlsError('ERR_KTLS_FILE_TRUNCATED', `it ends after ${size} bytes`);

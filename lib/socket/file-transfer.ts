/**
 * A file on its way through `sendfile(2)`: chunk by chunk in libuv's thread pool, so that neither the
 * disk nor the kernel's cryptography holds the event loop, and other transfers get their turn between
 * two chunks.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { type FileSender, type NativeBinding } from '../kernel/binding.js';
import type { OpenFile } from './file-source.js';

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

/** A file that is being sent. */
export interface Transfer {
  /** Stops it; its sink is not called any more. */
  cancel(): void;
}

export class FileTransfer implements Transfer {
  readonly #sender: FileSender;
  readonly #chunkSize: number;
  readonly #owner: TransferOwner;
  readonly #blocked: () => void;
  #position: number;
  #left: number;
  /** A chunk is in the thread pool. */
  #sending = false;
  /** The socket became writable since that chunk left: its EAGAIN may be out of date. */
  #writable = false;
  #over = false;

  /**
   * @param socket - The fd of a connected stream socket.
   * @param blocked - Called when the socket takes no more; then `writable()` must be called when it does.
   * @throws Error with `code`, `errno` and `syscall` if a descriptor cannot be duplicated.
   */
  constructor(
    binding: NativeBinding,
    socket: number,
    file: OpenFile,
    chunkSize: number,
    owner: TransferOwner,
    blocked: () => void = () => undefined,
  ) {
    this.#owner = owner;
    this.#chunkSize = chunkSize;
    this.#blocked = blocked;
    this.#position = file.start;
    this.#left = file.length;
    this.#sender = new binding.FileSender(socket, file.fd, (bytes, status) =>
      this.#sent(bytes, status),
    );
    this.#next();
  }

  /** The socket may take more. */
  writable(): void {
    if (this.#sending) this.#writable = true;
    else this.#next();
  }

  cancel(): void {
    this.#over = true;
    this.#sender.close();
  }

  /** Whether a chunk is in the thread pool, which sends on the socket. */
  get sending(): boolean {
    return this.#sending;
  }

  #next(): void {
    if (this.#over || this.#sending) return;
    this.#writable = false;
    const bytes = Math.min(this.#left, this.#chunkSize);
    if (this.#owner.mayContinue?.(bytes) === false) return;
    // It may have ended the connection.
    if (this.#isOver()) return;
    const result = this.#sender.send(this.#position, bytes);
    if (result < 0) this.#finish(errnoError(result, 'sendfile'));
    else this.#sending = true;
  }

  #sent(bytes: number, status: number): void {
    this.#sending = false;
    this.#position += bytes;
    this.#left -= bytes;
    if (bytes > 0) this.#owner.progress(bytes);
    // The owner may have cancelled it. For the compiler nothing can have.
    if (this.#isOver()) return;
    if (this.#left === 0) this.#finish(null);
    else if (status === ENODATA) this.#finish(truncated(this.#position));
    else if (status < 0 && status !== EAGAIN) this.#finish(errnoError(status, 'sendfile'));
    else if (status === 0 || this.#writable) this.#next();
    else this.#blocked();
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

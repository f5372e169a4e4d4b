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

/** A file that is being sent. */
export interface Transfer {
  /** Stops it; its sink is not called any more. */
  cancel(): void;
}

export class FileTransfer implements Transfer {
  readonly #sender: FileSender;
  readonly #chunkSize: number;
  readonly #sink: TransferSink;
  readonly #blocked: () => void;
  #position: number;
  #left: number;
  /** A chunk is in the thread pool. */
  #sending = false;
  /** The socket became writable since that chunk left: its EAGAIN may be out of date. */
  #writable = false;
  #over = false;
  readonly #between: (() => void)[] = [];

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
    sink: TransferSink,
    blocked: () => void = () => undefined,
  ) {
    this.#sink = sink;
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
    this.#runBetween();
  }

  /**
   * Runs `action` at a moment at which no chunk is in the thread pool: what must not be overtaken by
   * one, such as a change of keys.
   */
  betweenChunks(action: () => void): void {
    if (this.#sending && !this.#over) this.#between.push(action);
    else action();
  }

  #runBetween(): void {
    for (const action of this.#between.splice(0)) action();
  }

  #next(): void {
    if (this.#over || this.#sending) return;
    this.#writable = false;
    const result = this.#sender.send(this.#position, Math.min(this.#left, this.#chunkSize));
    if (result < 0) this.#finish(errnoError(result, 'sendfile'));
    else this.#sending = true;
  }

  #sent(bytes: number, status: number): void {
    this.#sending = false;
    this.#position += bytes;
    this.#left -= bytes;
    this.#runBetween();
    if (bytes > 0) this.#sink.progress(bytes);
    // The sink may have cancelled it. For the compiler nothing can have.
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
    this.#sink.done(error);
  }
}

/** @param size - Of the file, now. */
export const truncated = (size: number): KtlsError =>
  new KtlsError('ERR_KTLS_FILE_TRUNCATED', `it ends after ${size} bytes`);

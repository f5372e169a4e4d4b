/** A file on its way to where `sendfile(2)` cannot bring it: read here and written piece by piece. */
import { read } from 'node:fs';
import type { WriteCallback } from './data-path.js';
import type { OpenFile } from './file-source.js';
import { type Transfer, type TransferSink, truncated } from './file-transfer.js';

/** What is read at a time; a record is 16 KiB at most. */
const PIECE = 64 * 1024;

export class FileStreaming implements Transfer {
  readonly #file: OpenFile;
  readonly #write: (piece: Buffer, callback: WriteCallback) => void;
  readonly #sink: TransferSink;
  #position: number;
  #left: number;
  #over = false;

  /** @param write - Takes a piece and calls back when the next one may come. */
  constructor(
    file: OpenFile,
    write: (piece: Buffer, callback: WriteCallback) => void,
    sink: TransferSink,
  ) {
    this.#file = file;
    this.#write = write;
    this.#sink = sink;
    this.#position = file.start;
    this.#left = file.length;
  }

  start(): void {
    this.#next();
  }

  cancel(): void {
    this.#over = true;
  }

  #next(): void {
    const piece = Buffer.allocUnsafe(Math.min(PIECE, this.#left));
    read(this.#file.fd, piece, 0, piece.length, this.#position, (error, bytes) => {
      if (this.#over) return;
      if (error !== null) this.#finish(error);
      else if (bytes > 0) this.#pass(piece.subarray(0, bytes));
      else this.#finish(this.#file.sized ? truncated(this.#position) : null);
    });
  }

  #pass(piece: Buffer): void {
    this.#write(piece, (error) => {
      if (this.#over) return;
      if (error) {
        this.#finish(error);
        return;
      }
      this.#position += piece.length;
      this.#left -= piece.length;
      this.#sink.progress(piece.length);
      if (this.#left === 0) this.#finish(null);
      else this.#next();
    });
  }

  #finish(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#sink.done(error);
  }
}

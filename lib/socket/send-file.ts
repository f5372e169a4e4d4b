/**
 * Files among the writes of a stream. A file that is to be sent stands in the Writable's queue as a
 * marker, a Buffer of no length that only this file knows the meaning of: so it keeps its place between
 * the `write`s before and after it, in a socket's own queue, and in that of an HTTP response that waits
 * for those before it in the pipeline.
 */
import type { Writable } from 'node:stream';
import { KtlsError } from '../errors.js';
import type { SendFileOptions } from '../options.js';
import { unharmed } from '../unharmed.js';
import type { Chunk, WriteCallback } from './data-path.js';
import { type FileSource, type OpenFile, openFile } from './file-source.js';
import { FileStreaming } from './file-streaming.js';
import type { Transfer, TransferSink } from './file-transfer.js';

/** Who brings files to a peer, one at a time. */
export interface FileCarrier {
  writeData(data: Buffer, callback: WriteCallback): void;
  /** Brings a file there whole, once started. Who has none gets it piece by piece, by `writeData`. */
  send?(file: OpenFile, options: SendFileOptions, sink: TransferSink): Transfer;
  /** Ends the connection in a way that the peer cannot take for the end of the data. */
  reset(error: Error): void;
}

/** RFC 9112 section 7.1. */
const CRLF = Buffer.from('\r\n');
const chunkHead = (length: number): Buffer => Buffer.from(`${length.toString(16)}\r\n`);

/**
 * A Buffer of no length that knows its file. Not a key of a WeakMap: the value of one keeps its key past
 * every scavenge, and with it all that belongs to a request, which then waits for a full collection.
 */
class Marker extends Uint8Array {
  readonly request: FileRequest;

  constructor(request: FileRequest) {
    super(0);
    this.request = request;
  }

  static {
    // A Writable makes a new Buffer of any other Uint8Array.
    Object.setPrototypeOf(this.prototype, Buffer.prototype as object);
  }
}

/** The file that a chunk stands for. */
export function fileRequest(chunk: Buffer | string): FileRequest | undefined {
  if (chunk.length > 0) return undefined;
  const marker: unknown = chunk;
  return marker instanceof Marker ? marker.request : undefined;
}

export class FileRequest {
  /** To be written in the file's place. */
  readonly marker: Uint8Array = new Marker(this);
  /** The number of bytes sent. */
  readonly sent: Promise<number>;
  /** The file is there; rejects if it is not. */
  readonly opened: Promise<OpenFile>;
  /** Whether the body of the HTTP message that it is a part of is chunked; asked when its turn comes. */
  chunked: () => boolean = () => false;

  readonly #options: SendFileOptions;
  #resolve!: (bytes: number) => void;
  #reject!: (error: Error) => void;
  #bytes = 0;
  /** A part of it may be with the peer. */
  #begun = false;
  /** Something was written for it: a chunk's head, or a piece. */
  #written = false;
  #over = false;
  #carrier: FileCarrier | null = null;
  #callback: WriteCallback | null = null;
  #transfer: Transfer | null = null;

  /** @throws what `openFile` throws. */
  constructor(source: FileSource, options: SendFileOptions) {
    const { signal } = options;
    this.#options = options;
    this.sent = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Aborted already, too: a wrong source is one, and a ReadStream is taken over.
    this.opened = openFile(source, options);
    this.opened.catch((error: unknown) => this.#fail(error as Error));
    if (signal?.aborted) this.#aborted();
    else signal?.addEventListener('abort', this.#aborted);
  }

  /** Sent, or given up. */
  get over(): boolean {
    return this.#over;
  }

  /** Its turn has come. `callback` goes to the stream: an error there is the end of the stream. */
  run(carrier: FileCarrier, callback: WriteCallback): void {
    if (this.#over) {
      callback(null);
      return;
    }
    this.#carrier = carrier;
    this.#callback = callback;
    this.opened.then(
      (file) => {
        // What the application throws is no rejection of the file's.
        if (!this.#over) unharmed(() => this.#send(file));
      },
      // Said by the listener of the constructor, which came first.
      () => undefined,
    );
  }

  /** The stream is over before the file was; `null` if there was no error. */
  interrupt(error: Error | null): void {
    this.#carrier = null;
    this.#begun = true;
    // It calls the application back, and whoever calls here has a socket to close.
    unharmed(() =>
      this.#fail(error ?? new KtlsError('ERR_KTLS_SEND_INTERRUPTED', `after ${this.#bytes} bytes`)),
    );
  }

  /** The stream is done with the marker; without its turn if the message has no body to send. */
  passed(): void {
    if (this.#settle()) this.#resolve(this.#bytes);
  }

  // Not by way of `passed`: a stream calls back for a whole batch of writes at once.
  #succeed(): void {
    this.passed();
    this.#callback?.(null);
  }

  #send(file: OpenFile): void {
    if (file.length === 0) {
      this.#succeed();
      return;
    }
    this.#begun = true;
    const step =
      (next: () => void): WriteCallback =>
      (error) => {
        if (this.#over) return;
        if (error) this.#stopped(error);
        else next();
      };
    const chunked = this.chunked();
    const finish = (): void => this.#succeed();
    if (!file.sized) {
      this.#stream(file, chunked, step(finish));
      return;
    }
    const transfer = (): void => this.#transmit(file, step(chunked ? close : finish));
    const close = (): void => this.#write(CRLF, step(finish));
    // One chunk.
    if (chunked) this.#write(chunkHead(file.length), step(transfer));
    else transfer();
  }

  #transmit(file: OpenFile, done: WriteCallback): void {
    const carrier = this.#carrier!;
    if (carrier.send === undefined) {
      this.#stream(file, false, done);
      return;
    }
    let transfer: Transfer;
    try {
      transfer = carrier.send(file, this.#options, {
        progress: this.#progress,
        done: (error) => {
          // sendfile(2): "mmap(2)-like operations are not available": a file system without splice.
          const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
          const unable = code === 'EINVAL' && syscall === 'sendfile' && this.#bytes === 0;
          if (unable && !this.#over) this.#stream(file, false, done);
          else done(error);
        },
      });
    } catch (error) {
      this.#stopped(error as Error);
      return;
    }
    this.#transfer = transfer;
    // The end of a small file may be told within, and what the application makes of it is not the file's failure.
    transfer.start();
  }

  #write(data: Buffer, callback: WriteCallback): void {
    this.#written = true;
    this.#carrier!.writeData(data, callback);
  }

  /** `chunked`: as many chunks as it takes. */
  #stream(file: OpenFile, chunked: boolean, done: WriteCallback): void {
    const write = (piece: Buffer, next: WriteCallback): void => {
      const data = chunked ? Buffer.concat([chunkHead(piece.length), piece, CRLF]) : piece;
      this.#write(data, next);
    };
    const streaming = new FileStreaming(file, write, { progress: this.#progress, done });
    this.#transfer = streaming;
    streaming.start();
  }

  readonly #progress = (bytes: number): void => {
    this.#bytes += bytes;
    const { onProgress } = this.#options;
    if (onProgress !== undefined) unharmed(() => onProgress(this.#bytes));
  };

  /** By itself, so that what was sent of it is known: an abort may come while a thread is sending. */
  #stopped(error: Error): void {
    if (this.#bytes === 0 && !this.#written && isOfFile(error)) this.#begun = false;
    this.#fail(error);
  }

  readonly #aborted = (): void => this.#fail(abortError(this.#options.signal!));

  #fail(error: Error): void {
    if (!this.#settle()) return;
    this.#reject(error);
    // A peer that got a part of it must not wait for the rest, nor take what comes next for it.
    if (this.#begun) this.#carrier?.reset(error);
    this.#callback?.(this.#begun ? error : null);
  }

  /** Lets go of everything, once. */
  #settle(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#transfer?.cancel();
    this.#options.signal?.removeEventListener('abort', this.#aborted);
    this.opened.then(
      (file) => file.close(),
      () => undefined,
    );
    return true;
  }
}

/**
 * Whether a failure is of the file, or for want of descriptors, and not of the connection: one that has failed must
 * end. `sendfile` tells of both, with the same names; of a file that was promised longer the peer has to know.
 */
function isOfFile(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code !== 'ERR_KTLS_FILE_TRUNCATED' && syscall !== 'sendfile';
}

/** As Node's own, which it does not export. */
function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' });
}

/** Puts a file behind what was written so far. The stream must know what a marker is. */
export function queueFile(stream: Writable, request: FileRequest): Promise<number> {
  stream.write(request.marker, (error) => {
    if (error) request.interrupt(error);
    else request.passed();
  });
  return request.sent;
}

/** Where writes and files go to in turn. */
export interface FileWriter {
  writev(chunks: Chunk[], callback: WriteCallback): void;
  sendFile(request: FileRequest, callback: WriteCallback): void;
}

/** A batch of writes with files between them. */
export function writeInOrder(writer: FileWriter, chunks: Chunk[], callback: WriteCallback): void {
  const at = chunks.findIndex(({ chunk }) => fileRequest(chunk) !== undefined);
  if (at < 0) {
    writer.writev(chunks, callback);
    return;
  }
  const then =
    (next: () => void): WriteCallback =>
    (error) => {
      if (error) callback(error);
      else next();
    };
  const rest = chunks.slice(at + 1);
  const send = (): void =>
    writer.sendFile(
      fileRequest(chunks[at]!.chunk)!,
      rest.length === 0 ? callback : then(() => writeInOrder(writer, rest, callback)),
    );
  if (at === 0) send();
  else writer.writev(chunks.slice(0, at), then(send));
}

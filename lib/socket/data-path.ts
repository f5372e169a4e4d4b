/** How a secured socket moves its bytes: through the kernel, or through node:tls. */

import type { FileRequest } from './send-file.js';

export type WriteCallback = (error?: Error | null) => void;

/** As `Writable._writev` has them. */
export interface Chunk {
  chunk: Buffer | string;
  encoding: BufferEncoding;
}

export interface DataPath {
  /** The consumer wants data. */
  read(): void;
  /** It wants no more for now. */
  pause(): void;
  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void;
  writev(chunks: Chunk[], callback: WriteCallback): void;
  sendFile(request: FileRequest, callback: WriteCallback): void;
  /** Limits the plaintext of each record; `false` if that cannot be. */
  setMaxFragment(bytes: number): boolean;
  /** Ends the writing side, close_notify included, with nothing lost. */
  finish(callback: WriteCallback): void;
  /** The socket is being destroyed; the handle is still open. */
  close(error: Error | null): void;
}

/** What a path asks of the socket it serves. */
export interface PathOwner {
  /** Gives data to the consumer; `false` asks for a pause. */
  deliver(chunk: Buffer): boolean;
  /** The peer will send no more. */
  deliverEnd(closeNotify: boolean): void;
  destroy(error?: Error): void;
  /**
   * What the event loop must live on for: data to come, unless the application has unreferenced the socket;
   * what is on its way to the peer, even then, as it does for what libuv writes.
   */
  waiting(reading: boolean, sending: boolean): void;
  /** Destroys the connection with RST, which no peer takes for a regular end. */
  reset(error: Error): void;
  /** Something is being written, or was: the idle timer starts anew. */
  progressed(): void;
  /** Bytes of files were sent. */
  fileProgress(bytes: number): void;
}

/**
 * The data path of a connection that was refused after its handshake: node:tls carries on over the
 * record transport, and the socket passes everything to and from it. Right, not fast: connections whose
 * refusal is known earlier never come here.
 */
import type { TLSSocket } from 'node:tls';
import type { Chunk, DataPath, PathOwner, WriteCallback } from './data-path.js';
import type { SendFileOptions } from '../options.js';
import type { OpenFile } from './file-source.js';
import { FileStreaming } from './file-streaming.js';
import type { TransferSink } from './file-transfer.js';
import type { FileRequest } from './send-file.js';

export class UserSpacePath implements DataPath {
  readonly #tls: TLSSocket;
  readonly #owner: PathOwner;
  #file: FileRequest | null = null;

  constructor(tls: TLSSocket, owner: PathOwner) {
    this.#tls = tls;
    this.#owner = owner;
    tls.pause();
    tls.on('data', (chunk: Buffer) => {
      if (!owner.deliver(chunk)) tls.pause();
    });
    tls.on('end', () => owner.deliverEnd(false));
    tls.on('error', (error: Error) => owner.destroy(error));
    tls.on('close', () => owner.destroy());
  }

  read(): void {
    this.#tls.resume();
  }

  pause(): void {
    this.#tls.pause();
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#tls.write(chunk, encoding, callback);
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#tls.cork();
    chunks.forEach(({ chunk, encoding }, index) => {
      this.#tls.write(chunk, encoding, index === chunks.length - 1 ? callback : undefined);
    });
    this.#tls.uncork();
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    this.#file = request;
    const carrier = {
      writeText: (text: string, done: WriteCallback) => void this.#tls.write(text, 'latin1', done),
      send: (file: OpenFile, _: SendFileOptions, { progress, done }: TransferSink) =>
        new FileStreaming(file, (piece, next) => void this.#tls.write(piece, next), {
          progress: (bytes) => {
            this.#owner.fileProgress(bytes);
            progress(bytes);
          },
          done,
        }),
      reset: (error: Error) => this.#owner.reset(error),
    };
    request.run(carrier, (error) => {
      this.#file = null;
      callback(error);
    });
  }

  finish(callback: WriteCallback): void {
    // The transport's own end, below node:tls's close_notify, shuts the TCP connection down.
    this.#tls.end(() => callback(null));
  }

  close(error: Error | null): void {
    this.#file?.interrupt(error);
    this.#tls.destroy(error ?? undefined);
  }
}

/**
 * The data path of a connection that was refused after its handshake: node:tls carries on over the
 * record transport, and the socket passes everything to and from it. Right, not fast: connections whose
 * refusal is known earlier never come here.
 */
import type { TLSSocket } from 'node:tls';
import type { Chunk, DataPath, PathOwner, WriteCallback } from './data-path.js';

export class UserSpacePath implements DataPath {
  readonly #tls: TLSSocket;

  constructor(tls: TLSSocket, owner: PathOwner) {
    this.#tls = tls;
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

  setMaxFragment(bytes: number): boolean {
    return this.#tls.setMaxSendFragment(bytes);
  }

  finish(callback: WriteCallback): void {
    // The transport's own end, below node:tls's close_notify, shuts the TCP connection down.
    this.#tls.end(() => callback(null));
  }

  close(error: Error | null): void {
    this.#tls.destroy(error ?? undefined);
  }
}

/** What `net.Socket` itself does with a TCP handle, below all that a subclass makes of it. */
import { Socket } from 'node:net';
import * as node from '../node-private.js';
import type { Chunk, WriteCallback } from './data-path.js';

const { prototype } = Socket;

export interface TcpSideOwner {
  /** The socket that has the handle. */
  readonly tcp: Socket;
}

export class TcpSide {
  readonly #owner: TcpSideOwner;
  readonly #bytesInClear: number;

  /** @param bytesInClear - What was written to the handle before it was under kernel TLS. */
  constructor(owner: TcpSideOwner, bytesInClear: number) {
    this.#owner = owner;
    this.#bytesInClear = bytesInClear;
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    prototype._write.call(this.#owner.tcp, chunk, encoding, callback);
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    prototype._writev!.call(this.#owner.tcp, chunks, callback);
  }

  /** Sends FIN. */
  shutdown(callback: WriteCallback): void {
    prototype._final.call(this.#owner.tcp, callback);
  }

  /** Lets nothing wait for an acknowledgement (Nagle) any more. */
  setNoDelay(): void {
    prototype.setNoDelay.call(this.#owner.tcp, true);
  }

  fd(): number {
    return node.handleOf(this.#owner.tcp)?.fd ?? -1;
  }

  /** Plaintext bytes written so far, files aside. */
  bytesWritten(): number {
    return (node.handleOf(this.#owner.tcp)?.bytesWritten ?? 0) - this.#bytesInClear;
  }
}

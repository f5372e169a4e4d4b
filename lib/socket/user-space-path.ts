/**
 * The data path of a connection that was refused after its handshake: node:tls carries on over the
 * record transport, and the socket passes everything to and from it. Right, not fast: connections whose
 * refusal is known earlier never come here.
 */
import type { TLSSocket } from 'node:tls';
import type { Chunk, DataPath, PathOwner, WriteCallback } from './data-path.js';
import type { FileRequest } from './send-file.js';

export class UserSpacePath implements DataPath {
  readonly #tls: TLSSocket;
  readonly #owner: PathOwner;
  #reading = true;
  #writing = 0;
  #file: FileRequest | null = null;
  #closeNotify = false;

  /** @param peerEnded - Whether node:tls has been told that the TCP stream has ended. */
  constructor(tls: TLSSocket, peerEnded: () => boolean, owner: PathOwner) {
    this.#tls = tls;
    this.#owner = owner;
    tls.pause();
    // When to end is for the owner, who may still have much to give to its reader, and much to write.
    tls.allowHalfOpen = true;
    const push = tls.push.bind(tls);
    tls.push = (chunk, encoding) => {
      // When 'end' comes, FIN may have come as well as close_notify.
      if (chunk === null) this.#closeNotify = !peerEnded();
      return push(chunk, encoding);
    };
    tls.on('data', (chunk: Buffer) => {
      if (!owner.deliver(chunk)) this.pause();
    });
    tls.on('end', () => {
      this.#wait(false);
      // It may come in the same turn as the last data, which the application has its ticks and promises for.
      setImmediate(() => owner.deliverEnd(this.#closeNotify));
    });
    tls.on('error', (error: Error) => owner.destroy(error));
    // Behind both ends the socket may not have been read yet, and closes when it is.
    tls.on('close', () => {
      if (!tls.readableEnded || !tls.writableFinished) owner.destroy();
    });
  }

  get bytesWritten(): number {
    return this.#tls.bytesWritten;
  }

  read(): void {
    if (!this.#tls.readableEnded) this.#wait(true);
    this.#tls.resume();
  }

  pause(): void {
    this.#wait(false);
    this.#tls.pause();
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#tls.write(chunk, encoding, this.#written(callback));
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#tls.cork();
    const written = this.#written(callback);
    chunks.forEach(({ chunk, encoding }, index) => {
      this.#tls.write(chunk, encoding, index === chunks.length - 1 ? written : undefined);
    });
    this.#tls.uncork();
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    this.#file = request;
    const carrier = {
      writeData: (data: Buffer, done: WriteCallback) => {
        this.#tls.write(data, (error) => {
          if (!error) this.#owner.fileProgress(data.length);
          done(error);
        });
      },
      reset: (error: Error) => this.#owner.reset(error),
    };
    const written = this.#written(callback);
    request.run(carrier, (error) => {
      this.#file = null;
      written(error);
    });
  }

  setMaxFragment(bytes: number): boolean {
    return this.#tls.setMaxSendFragment(bytes);
  }

  finish(callback: WriteCallback): void {
    // The transport's own end, below node:tls's close_notify, shuts the TCP connection down.
    const ended = this.#written(callback);
    // On the stack of node:tls ('secureConnection') its last records are still to be written.
    setImmediate(() => this.#tls.end(() => ended()));
  }

  #written(callback: WriteCallback): (error?: Error | null) => void {
    this.#writing++;
    this.#owner.progressed();
    this.#wait(this.#reading);
    return (error) => {
      this.#writing--;
      this.#owner.progressed();
      this.#wait(this.#reading);
      callback(error);
    };
  }

  #wait(reading: boolean): void {
    this.#reading = reading;
    this.#owner.waiting(reading, this.#writing > 0);
  }

  close(error: Error | null): void {
    this.#file?.interrupt(error);
    this.#tls.destroy(error ?? undefined);
  }
}

/**
 * The files among the writes of a connection under kernel TLS, one at a time: `sendfile(2)` on its socket,
 * between whose chunks the keys may change.
 */
import { loadBinding, type Channel } from '../kernel/binding.js';
import type { SendFileOptions } from '../options.js';
import type { WriteCallback } from './data-path.js';
import type { OpenFile } from './file-source.js';
import { FileTransfer, type TransferSink } from './file-transfer.js';
import type { FileCarrier, FileRequest } from './send-file.js';

export interface KernelFilesOwner {
  fd(): number;
  writeData(data: Buffer, callback: WriteCallback): void;
  /** Whether so many bytes may be sent now: if not, `writable` is called when they may. */
  mayContinue(bytes: number): boolean;
  fileProgress(bytes: number): void;
  reset(error: Error): void;
}

export class KernelFiles implements FileCarrier {
  readonly #channel: Channel;
  readonly #owner: KernelFilesOwner;
  #bytes = 0;
  #file: FileRequest | null = null;
  #transfer: FileTransfer | null = null;
  #zeroCopy = false;

  constructor(channel: Channel, owner: KernelFilesOwner) {
    this.#channel = channel;
    this.#owner = owner;
  }

  /** Of files, sent so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether there is one whose turn has come. */
  get busy(): boolean {
    return this.#file !== null;
  }

  /** Whether another thread may be sending on the socket. */
  get sendingElsewhere(): boolean {
    return this.#transfer?.sending === true;
  }

  /** Whether `TLS_TX_ZEROCOPY_RO` is set. */
  get zeroCopy(): boolean {
    return this.#zeroCopy;
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    this.#file = request;
    request.run(this, (error) => {
      this.#file = null;
      this.#transfer = null;
      callback(error);
    });
  }

  /** The socket may take more. */
  writable(): void {
    this.#transfer?.writable();
  }

  /** The socket is closed. */
  interrupt(error: Error | null): void {
    this.#file?.interrupt(error);
  }

  writeData(data: Buffer, callback: WriteCallback): void {
    this.#owner.writeData(data, callback);
  }

  send(
    file: OpenFile,
    { chunkSize, immutable }: SendFileOptions,
    sink: TransferSink,
  ): FileTransfer {
    const binding = loadBinding();
    if (binding instanceof Error) throw binding;
    if (immutable !== this.#zeroCopy && this.#channel.setZeroCopy(immutable ? 1 : 0) === 0) {
      this.#zeroCopy = immutable;
    }
    const owner = this.#owner;
    this.#transfer = new FileTransfer(binding, () => owner.fd(), file, chunkSize, {
      progress: (bytes) => {
        this.#bytes += bytes;
        owner.fileProgress(bytes);
        sink.progress(bytes);
      },
      done: sink.done,
      mayContinue: (bytes) => owner.mayContinue(bytes),
    });
    return this.#transfer;
  }

  reset(error: Error): void {
    this.#owner.reset(error);
  }
}

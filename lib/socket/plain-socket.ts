/**
 * Files in the queue of a plain `net.Socket`, such as an HTTP response without TLS has. The socket learns
 * what a marker is when it is first needed: its `_write`, `_writev` and `_destroy`, the documented methods
 * of a stream, are replaced on that one object.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type NativeBinding, Ready, loadBinding } from '../kernel/binding.js';
import * as node from '../node-private.js';
import type { SendFileOptions } from '../options.js';
import type { Chunk, WriteCallback } from './data-path.js';
import type { OpenFile } from './file-source.js';
import { FileTransfer, type TransferSink } from './file-transfer.js';
import { type FileCarrier, type FileRequest, fileRequest, writeInOrder } from './send-file.js';

type Write = (chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback) => void;
type Writev = (chunks: Chunk[], callback: WriteCallback) => void;

class PlainCarrier implements FileCarrier {
  readonly #binding: NativeBinding;
  readonly #socket: Socket;
  readonly #write: Write;
  readonly #writev: Writev;
  #file: FileRequest | null = null;
  #fileBytes = 0;
  #stopWaiting: (() => void) | null = null;

  constructor(binding: NativeBinding, socket: Socket) {
    this.#binding = binding;
    this.#socket = socket;
    this.#write = socket._write.bind(socket);
    this.#writev = socket._writev!.bind(socket);
    const destroy = socket._destroy.bind(socket);
    socket._write = (chunk: Buffer | string, encoding, callback) => {
      const file = fileRequest(chunk);
      if (file === undefined) this.#write(chunk, encoding, callback);
      else this.sendFile(file, callback);
    };
    socket._writev = (chunks: Chunk[], callback) => writeInOrder(this, chunks, callback);
    socket._destroy = (error, callback) => {
      this.#stopWaiting?.();
      this.#file?.interrupt(error);
      destroy(error, callback);
    };
    Object.defineProperty(socket, 'bytesWritten', {
      configurable: true,
      get: () => node.bytesWritten(socket) + this.#fileBytes,
    });
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#writev(chunks, callback);
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    this.#file = request;
    const run = (): void =>
      request.run(this, (error) => {
        this.#file = null;
        callback(error);
      });
    if (this.#socket.connecting) this.#socket.once('connect', run);
    else run();
  }

  writeData(data: Buffer, callback: WriteCallback): void {
    this.#write(data, 'buffer' as BufferEncoding, callback);
  }

  send(file: OpenFile, { chunkSize }: SendFileOptions, sink: TransferSink): FileTransfer {
    const socket = (): number => node.handleOf(this.#socket)?.fd ?? -1;
    const ours: TransferSink = {
      progress: (bytes) => {
        this.#fileBytes += bytes;
        node.touchTimeout(this.#socket);
        sink.progress(bytes);
      },
      done: sink.done,
    };
    const transfer = new FileTransfer(this.#binding, socket, file, chunkSize, ours, () =>
      this.#whenWritable(socket(), transfer),
    );
    return transfer;
  }

  reset(error: Error): void {
    node.resetWith(this.#socket, error);
  }

  /** A channel says at once what the socket is ready for, so there is nothing to miss. */
  #whenWritable(fd: number, transfer: FileTransfer): void {
    const channel = new this.#binding.Channel(fd, (events) => {
      // Reading is not ours; errors and hang-ups are, in that sendfile names them.
      if ((events & ~(Ready.READ | Ready.PEER_HALF_CLOSED)) === 0) return;
      this.#stopWaiting?.();
      transfer.writable();
    });
    channel.ref();
    this.#stopWaiting = () => {
      this.#stopWaiting = null;
      channel.close();
    };
  }
}

const carriers = new WeakSet<Duplex>();

/** Whether the socket's queue takes files from now on: a plain one of Node's, where the addon is. */
export function takesFiles(socket: Duplex): socket is Socket {
  if (carriers.has(socket)) return true;
  const binding = loadBinding();
  if (!(socket instanceof Socket) || socket instanceof TLSSocket || binding instanceof Error) {
    return false;
  }
  if (!node.writesToFd(socket)) return false;
  carriers.add(socket);
  new PlainCarrier(binding, socket);
  return true;
}

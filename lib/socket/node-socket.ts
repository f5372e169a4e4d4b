/**
 * Files in the queue of one of Node's own sockets: a plain `net.Socket`, such as an HTTP response without TLS
 * has, or node:tls's. The socket learns what a marker is when it is first needed: its `_write`, `_writev` and
 * `_destroy`, the documented methods of a stream, are replaced on that one object.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type NativeBinding, Ready, loadBinding } from '../kernel/binding.js';
import * as node from '../node-private.js';
import type { SendFileOptions } from '../options.js';
import type { Chunk, WriteCallback } from './data-path.js';
import type { OpenFile } from './file-source.js';
import { FileTransfer, type TransferSink } from './file-transfer.js';
import { type FileCarrier, type FileRequest, fileRequest, writeInOrder } from './send-file.js';

type Write = (chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback) => void;
type Writev = (chunks: Chunk[], callback: WriteCallback) => void;

/** Writes files piece by piece. */
class WritingCarrier implements FileCarrier {
  protected readonly socket: Socket;
  readonly #write: Write;
  readonly #writev: Writev;
  #file: FileRequest | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
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
      this.closing();
      this.#file?.interrupt(error);
      destroy(error, callback);
    };
  }

  protected closing(): void {
    // Nothing but the file has to know.
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
    if (this.socket.connecting) this.socket.once('connect', run);
    else run();
  }

  writeData(data: Buffer, callback: WriteCallback): void {
    this.#write(data, 'buffer' as BufferEncoding, callback);
  }

  reset(error: Error): void {
    node.resetWith(this.socket, error);
  }
}

/** Sends files to the socket's descriptor. */
class SendingCarrier extends WritingCarrier {
  readonly #binding: NativeBinding;
  #fileBytes = 0;
  #stopWaiting: (() => void) | null = null;

  constructor(binding: NativeBinding, socket: Socket) {
    super(socket);
    this.#binding = binding;
    Object.defineProperty(socket, 'bytesWritten', {
      configurable: true,
      get: () => node.bytesWritten(socket) + this.#fileBytes,
    });
  }

  protected override closing(): void {
    this.#stopWaiting?.();
  }

  send(file: OpenFile, { chunkSize }: SendFileOptions, sink: TransferSink): FileTransfer {
    const socket = (): number => node.handleOf(this.socket)?.fd ?? -1;
    const ours: TransferSink = {
      progress: (bytes) => {
        this.#fileBytes += bytes;
        node.touchTimeout(this.socket);
        sink.progress(bytes);
      },
      done: sink.done,
    };
    const transfer = new FileTransfer(this.#binding, socket, file, chunkSize, ours, () =>
      this.#whenWritable(socket(), transfer),
    );
    return transfer;
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

/** Whether the socket's queue takes files from now on: one of Node's own, and open. */
export function takesFiles(socket: Duplex): socket is Socket {
  if (carriers.has(socket)) return true;
  const target = socket instanceof Socket ? node.writesTo(socket) : null;
  if (target === null) return false;
  carriers.add(socket);
  const binding = loadBinding();
  if (target === 'tls' || binding instanceof Error) new WritingCarrier(socket as Socket);
  else new SendingCarrier(binding, socket as Socket);
  return true;
}

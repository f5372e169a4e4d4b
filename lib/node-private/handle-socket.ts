/** What node:tls stands on during a handshake. */
import { Socket } from 'node:net';
import { ECANCELED, type JsStream, jsStream, statusOf } from './js-stream.js';

/**
 * A socket without a descriptor: node:tls stands on it as on a TCP socket, in native code, and its subclass
 * reads and writes. That is what node:tls makes of a stream that has no handle, less the stream.
 */
export abstract class HandleSocket extends Socket {
  static #Handle: (new () => JsStream & { socket: HandleSocket }) | undefined;
  readonly #native: JsStream;
  /**
   * The first is under way. node:tls has one at a time, but for an empty one of the application's, which it
   * passes on as it is although it may still have records of its own to write.
   */
  #writes: { request: object; chunks: Buffer[] }[] = [];
  #shutdown: object | null = null;

  constructor(allowHalfOpen: boolean) {
    const handle = new (HandleSocket.#handleClass())();
    super({ handle, manualStart: true, allowHalfOpen } as object);
    this.#native = handle;
    handle.socket = this;
  }

  /** node:tls wants to read, or no more for now. Nothing may be delivered within the call. */
  protected abstract reading(wanted: boolean): void;
  /** Bytes to write, in order; there is no second call before `written`. */
  protected abstract writeOut(chunks: Buffer[]): void;
  /** The end of what is written. */
  protected abstract endOut(done: (error?: Error | null) => void): void;
  /** node:tls has been told that what it wrote is written, and has written no more. */
  protected abstract wroteAll(): void;

  /** Whether node:tls has been told of all its writes. */
  protected get idle(): boolean {
    return this.#writes.length === 0;
  }

  /** node:tls consumes it within the call. Not to be called within a call of its own. */
  protected deliver(chunk: Uint8Array): void {
    if (!this.destroyed) this.#native.readBuffer(chunk);
  }

  protected deliverEnd(): void {
    if (!this.destroyed) this.#native.emitEOF();
  }

  /** What `writeOut` was given is written; node:tls is told in an immediate, in which it may write more. */
  protected written(error?: Error): void {
    setImmediate(() => {
      const [write, next] = this.#writes;
      if (write === undefined) return;
      this.#writes.shift();
      if (next !== undefined) this.writeOut(next.chunks);
      this.#native.finishWrite(write.request, statusOf(error));
      if (!this.idle) return;
      if (this.#shutdown !== null) this.#end(this.#shutdown);
      this.wroteAll();
    });
  }

  #end(request: object): void {
    // Not within the call that asks for it.
    process.nextTick(() => {
      this.endOut((error) => {
        if (this.#shutdown !== request) return;
        this.#shutdown = null;
        this.#native.finishShutdown(request, statusOf(error));
      });
    });
  }

  /** Tells node:tls what comes of its requests when the socket closes. */
  #cancel(): void {
    const [writes, shutdown] = [this.#writes, this.#shutdown];
    this.#writes = [];
    this.#shutdown = null;
    for (const { request } of writes) this.#native.finishWrite(request, ECANCELED);
    if (shutdown !== null) this.#native.finishShutdown(shutdown, ECANCELED);
  }

  static #handleClass(): new () => JsStream & { socket: HandleSocket } {
    HandleSocket.#Handle ??= class extends jsStream() {
      declare socket: HandleSocket;
      override reading = false;

      isClosing(): boolean {
        return this.socket.destroyed;
      }

      onreadstart(): number {
        this.socket.reading(true);
        return 0;
      }

      onreadstop(): number {
        this.socket.reading(false);
        return 0;
      }

      onwrite(request: object, chunks: Buffer[]): number {
        const { socket } = this;
        socket.#writes.push({ request, chunks });
        if (socket.#writes.length === 1) socket.writeOut(chunks);
        return 0;
      }

      onshutdown(request: object): number {
        const { socket } = this;
        socket.#shutdown = request;
        // A close_notify, say, goes first.
        if (socket.idle) socket.#end(request);
        return 0;
      }

      close(closed?: () => void): void {
        setImmediate(() => {
          this.socket.#cancel();
          closed?.();
        });
      }
    };
    return HandleSocket.#Handle;
  }
}

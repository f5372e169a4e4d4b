/** What an http2 session stands on. */
import { Socket } from 'node:net';
import { type TcpHandle, internals } from './internals.js';
import { ECANCELED, type JsStream, jsStream, statusOf } from './js-stream.js';
import { setOwner } from './take-over.js';

/** Who stands behind a `StreamHandle`. */
export interface StreamHandleOwner {
  readStart(): void;
  readStop(): void;
  write(chunks: Buffer[], done: (error?: Error | null) => void): void;
  shutdown(done: (error?: Error | null) => void): void;
}

/**
 * The handle of a socket whose bytes a native consumer (http2) reads and writes. It takes the place of
 * the socket's TCP handle, which goes to a socket of its own, `tcp`, and answers for it in all that is
 * neither reading nor writing.
 */
export class StreamHandle {
  readonly tcp: Socket;
  readonly #handle: JsStream;
  readonly #unfinished = new Set<(status: number) => void>();
  #reading = false;
  #writing = 0;
  #idle: (() => void)[] = [];

  constructor(socket: Socket, owner: StreamHandleOwner) {
    const tcp = internals(socket)._handle!;
    const handle = new (jsStream())();
    this.#handle = handle;
    setOwner(handle, socket, tcp);
    handle.onread = tcp.onread;
    handle.reading = false;
    internals(socket)._handle = handle as unknown as TcpHandle;
    this.tcp = new Socket({ handle: tcp, manualStart: true, allowHalfOpen: true } as object);
    internals(this.tcp)._parent = socket;

    const later = (finish: (status: number) => void): ((error?: Error | null) => void) => {
      this.#unfinished.add(finish);
      // The consumer takes an answer within its own call for an error of its own.
      return (error) =>
        setImmediate(() => {
          if (this.#unfinished.delete(finish)) finish(statusOf(error));
        });
    };
    Object.defineProperties(handle, {
      bytesWritten: { get: () => tcp.bytesWritten },
      writeQueueSize: { get: () => tcp.writeQueueSize },
      fd: { get: () => tcp.fd },
    });
    Object.assign(handle, {
      ref: () => tcp.ref(),
      unref: () => tcp.unref(),
      hasRef: () => tcp.hasRef(),
      getsockname: (out: object) => tcp.getsockname(out),
      getpeername: (out: object) => tcp.getpeername(out),
      setNoDelay: (enable: boolean) => tcp.setNoDelay(enable),
      setKeepAlive: (enable: boolean, delay: number) => tcp.setKeepAlive(enable, delay),
      isClosing: () => this.tcp.destroyed,
      onreadstart: () => {
        this.#reading = true;
        owner.readStart();
        return 0;
      },
      onreadstop: () => {
        this.#reading = false;
        owner.readStop();
        return 0;
      },
      onwrite: (request: object, chunks: Buffer[]) => {
        this.#writing++;
        const done = later((status) => handle.finishWrite(request, status));
        owner.write(chunks, (error) => {
          done(error);
          if (--this.#writing > 0) return;
          for (const idle of this.#idle.splice(0)) idle();
        });
        return 0;
      },
      onshutdown: (request: object) => {
        owner.shutdown(later((status) => handle.finishShutdown(request, status)));
        return 0;
      },
      close: (callback?: () => void) => {
        this.tcp.once('close', () => {
          for (const finish of this.#unfinished) finish(ECANCELED);
          this.#unfinished.clear();
          callback?.();
        });
        this.tcp.destroy();
      },
    });
  }

  deliver(chunk: Buffer): boolean {
    this.#handle.readBuffer(chunk);
    return this.#reading;
  }

  deliverEnd(): void {
    this.#handle.emitEOF();
  }

  /**
   * Calls back when nothing that the consumer has written is under way. A session writes in an immediate what it
   * has to answer, and another one when it hears, in an immediate, that the write before is done.
   */
  whenIdle(callback: () => void): void {
    const look = (): void => {
      if (this.#writing === 0) callback();
      else this.#idle.push(() => this.whenIdle(callback));
    };
    setImmediate(() => setImmediate(look));
  }
}

/**
 * The Duplex over which node:tls does the handshake. It hands over exactly one record at a time, so
 * nothing that follows the handshake ever leaves the kernel's receive queue; and it lets an observer
 * see every byte of both directions. It knows nothing of keys, roles or when a handshake is done.
 */
import { Duplex } from 'node:stream';
import { constants } from 'node:os';
import { errnoError } from '../errors.js';
import { type Channel, Ready } from '../kernel/binding.js';

const EAGAIN = -constants.errno.EAGAIN;

type WriteCallback = (error?: Error | null) => void;

export interface RecordObserver {
  /** One record as it came, before node:tls sees it. */
  received(record: Uint8Array): void;
  /** Bytes node:tls writes: several records or parts of one. */
  sent(chunk: Uint8Array): void;
  /** Asked before each record: whether node:tls may have another. */
  mayReceive(): boolean;
  /** All that was written has been taken by the kernel. */
  flushed(): void;
}

export class RecordTransport extends Duplex {
  readonly #observer: RecordObserver;
  readonly #shutdown: (callback: WriteCallback) => void;
  #channel: Channel | null = null;
  #retired = false;
  #wanted = false;
  #readable = false;
  #receiving = false;
  #unsent: { chunk: Uint8Array; offset: number; callback: WriteCallback } | null = null;

  /**
   * @param observer - Sees all that passes.
   * @param allowHalfOpen - As the TCP socket has it; node:tls takes it over.
   * @param shutdown - Ends the writing side of the TCP connection.
   */
  constructor(
    observer: RecordObserver,
    allowHalfOpen: boolean,
    shutdown: (callback: WriteCallback) => void,
  ) {
    // With a high-water mark of 0 the stream holds no record of its own: one is read when, and only
    // when, the one before has been consumed.
    super({ allowHalfOpen, readableHighWaterMark: 0, decodeStrings: true });
    this.#observer = observer;
    this.#shutdown = shutdown;
  }

  /** Whether a write is waiting for the kernel. */
  get writing(): boolean {
    return this.writableLength > 0;
  }

  /**
   * node:tls has taken `allowHalfOpen` over and decides when to end: it still has a close_notify to write
   * when the peer has ended.
   */
  keepWritable(): void {
    this.allowHalfOpen = true;
  }

  /** The TCP connection stands: what was written is sent, what was asked for is read. */
  attach(channel: Channel): void {
    this.#channel = channel;
    this.#readable = true;
    this.#send();
    this.#receive();
  }

  /**
   * Cuts the transport off for good: from here on it reads nothing, and what node:tls still writes
   * (a close_notify of the TLS object that is being freed) goes nowhere.
   */
  retire(): void {
    this.#retired = true;
    this.#channel = null;
    this.#unsent = null;
  }

  /** From the owner of the channel: the socket may have become readable or writable. */
  ready(events: number): void {
    if (events & Ready.WRITE) this.#send();
    if (events & ~Ready.WRITE) {
      this.#readable = true;
      this.#receive();
    }
  }

  /** Looks again whether records may be read, after the observer's answer has changed. */
  continueReceiving(): void {
    this.#receive();
  }

  override _read(): void {
    this.#wanted = true;
    // A push from inside _read would be buffered; the exactness rests on synchronous consumption.
    if (this.#readable && !this.#receiving) process.nextTick(() => this.#receive());
  }

  #receive(): void {
    if (this.#receiving) return;
    this.#receiving = true;
    let thrown = true;
    try {
      while (
        this.#wanted &&
        this.#readable &&
        this.#channel !== null &&
        this.#observer.mayReceive()
      ) {
        this.#take(this.#channel.readRecord());
      }
      thrown = false;
    } finally {
      this.#receiving = false;
      // By a callback of the application within node:tls; it may catch it, and the handshake goes on.
      if (thrown) setImmediate(() => this.#receive());
    }
  }

  #take(record: Uint8Array | number): void {
    if (typeof record !== 'number') {
      this.#wanted = false;
      this.#observer.received(record);
      try {
        this.push(record);
      } finally {
        if (this.readableFlowing === true && this.readableLength === 0) this.#wanted = true;
      }
    } else if (record === EAGAIN) {
      this.#readable = false;
    } else {
      this.#wanted = false;
      if (record === 0) this.push(null);
      else this.destroy(errnoError(record, 'read'));
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#retired) {
      callback();
      return;
    }
    this.#observer.sent(chunk);
    this.#unsent = { chunk, offset: 0, callback };
    this.#send();
  }

  #send(): void {
    const unsent = this.#unsent;
    if (unsent === null || this.#channel === null) return;
    while (unsent.offset < unsent.chunk.length) {
      const taken = this.#channel.write(unsent.chunk, unsent.offset);
      if (taken === EAGAIN) return;
      if (taken < 0) {
        this.#unsent = null;
        unsent.callback(errnoError(taken, 'write'));
        return;
      }
      unsent.offset += taken;
    }
    this.#unsent = null;
    unsent.callback();
    this.#observer.flushed();
  }

  override _final(callback: WriteCallback): void {
    if (this.#retired) callback();
    else this.#shutdown(callback);
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    const unsent = this.#unsent;
    this.#unsent = null;
    this.#channel = null;
    unsent?.callback(error);
    callback(error);
  }
}

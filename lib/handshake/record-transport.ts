/**
 * The socket on which node:tls does the handshake. It hands over exactly one record at a time, so nothing
 * that follows the handshake ever leaves the kernel's receive queue; and it lets an observer see every byte
 * of both directions. It knows nothing of keys, roles or when a handshake is done.
 */
import { constants } from 'node:os';
import { errnoError } from '../errors.js';
import { type Channel, Ready } from '../kernel/binding.js';
import { HandleSocket, setConnecting } from '../node-private.js';
import { Turns } from '../turns.js';

const EAGAIN = -constants.errno.EAGAIN;

/** After so many records of a handshake the loop gets its turn; the rest follows at once. */
const RECORDS_PER_TURN = 32;

type WriteCallback = (error?: Error | null) => void;

export interface RecordObserver {
  /** One record as it came, before node:tls sees it. @returns whether it may */
  received(record: Uint8Array): boolean;
  /** Bytes node:tls writes: several records or parts of one. */
  sent(chunk: Uint8Array): void;
  /** Asked before each record: whether node:tls may have another. */
  mayReceive(): boolean;
  /** node:tls has come to rest: it waits for records, and the kernel has all that it wrote. */
  rested(): void;
  /** Ends the writing side of the TCP connection. */
  shutdown(callback: WriteCallback): void;
}

export class RecordTransport extends HandleSocket {
  readonly #observer: RecordObserver;
  #channel: Channel | null = null;
  #retired = false;
  #wanted = false;
  #readable = false;
  #recordsPerTurn = RECORDS_PER_TURN;
  readonly #receiving = new Turns(
    () => this.#receiveSome(),
    () => {
      if (this.idle) this.#observer.rested();
    },
  );
  #peerEnded = false;
  #unsent: Buffer[] = [];
  /** Bytes of the first of them that are sent. */
  #offset = 0;

  /**
   * @param observer - Sees all that passes.
   * @param allowHalfOpen - As the TCP socket has it; node:tls takes it over.
   */
  constructor(observer: RecordObserver, allowHalfOpen: boolean) {
    super(allowHalfOpen);
    this.#observer = observer;
  }

  /** Whether node:tls is at work, or a write of it waits for the kernel. */
  get busy(): boolean {
    return this.#receiving.working || !this.idle;
  }

  /** Whether the TCP stream has ended, with all that came before it given to node:tls. */
  get peerEnded(): boolean {
    return this.#peerEnded;
  }

  /**
   * node:tls has taken `allowHalfOpen` over and decides when to end: it still has a close_notify to write
   * when the peer has ended.
   */
  keepWritable(): void {
    this.allowHalfOpen = true;
  }

  /** The TCP connection stands: a client's handshake begins, and what was asked for is read. */
  attach(channel: Channel): void {
    this.#channel = channel;
    this.#readable = true;
    if (this.connecting) {
      setConnecting(this, false);
      this.emit('connect');
    }
    this.#receiving.take();
  }

  /**
   * Cuts the transport off for good: from here on it reads nothing, and what node:tls still writes
   * (a close_notify of the TLS object that is being freed) goes nowhere.
   */
  retire(): void {
    this.#retired = true;
    this.#channel = null;
    this.#unsent = [];
  }

  /**
   * The application gets what comes from here on: a turn for each record, so that what it does in ticks and
   * promises is done before the next comes, as behind each read of node:tls's own.
   */
  carryData(): void {
    this.#recordsPerTurn = 1;
  }

  /** Gives node:tls a record that came another way. */
  feed(record: Buffer): void {
    this.deliver(record);
  }

  /** From the owner of the channel: the socket may have become readable or writable. */
  ready(events: number): void {
    if (events & Ready.WRITE && this.#unsent.length > 0) this.#send();
    if (events & ~Ready.WRITE) {
      this.#readable = true;
      this.#receiving.take();
    }
  }

  /** Looks again whether records may be read, after the observer's answer has changed. */
  continueReceiving(): void {
    this.#receiving.take();
  }

  protected override reading(wanted: boolean): void {
    this.#wanted = wanted;
    if (wanted && this.#readable && !this.#receiving.working) {
      process.nextTick(() => this.#receiving.take());
    }
  }

  /** @returns whether there may be more */
  #receiveSome(): boolean {
    let records = 0;
    while (
      this.#wanted &&
      this.#readable &&
      this.#channel !== null &&
      this.#observer.mayReceive()
    ) {
      if (records++ === this.#recordsPerTurn) return true;
      this.#take(this.#channel.readRecord());
    }
    return false;
  }

  #take(record: Uint8Array | number): void {
    if (typeof record !== 'number') {
      if (this.#observer.received(record)) this.deliver(record);
    } else if (record === EAGAIN) {
      this.#readable = false;
    } else {
      this.#wanted = false;
      if (record === 0) {
        this.#peerEnded = true;
        this.deliverEnd();
      } else this.destroy(errnoError(record, 'read'));
    }
  }

  protected override writeOut(chunks: Buffer[]): void {
    if (this.#retired) {
      this.written();
      return;
    }
    for (const chunk of chunks) this.#observer.sent(chunk);
    this.#unsent = chunks;
    this.#offset = 0;
    this.#send();
  }

  #send(): void {
    if (this.#channel === null) return;
    for (const [index, chunk] of this.#unsent.entries()) {
      while (this.#offset < chunk.length) {
        const taken = this.#channel.write(chunk, this.#offset);
        if (taken === EAGAIN) {
          this.#unsent = this.#unsent.slice(index);
          return;
        }
        if (taken < 0) {
          this.#unsent = [];
          const error = errnoError(taken, 'write');
          this.written(error);
          this.destroy(error);
          return;
        }
        this.#offset += taken;
      }
      this.#offset = 0;
    }
    this.#unsent = [];
    this.written();
  }

  protected override wroteAll(): void {
    if (!this.#receiving.working) this.#observer.rested();
  }

  protected override endOut(callback: WriteCallback): void {
    if (this.#retired) callback();
    else this.#observer.shutdown(callback);
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.#unsent = [];
    this.#channel = null;
    super._destroy(error, callback);
  }
}

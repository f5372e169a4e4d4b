/**
 * The receiver of sockets whose handle nobody may read (http2, `onread`): reads what the kernel has
 * decrypted, each record type as itself. It reads until the kernel says EAGAIN, because the channel is
 * edge-triggered: that costs one more call a wake-up and is what keeps three kernel traits harmless: a
 * KeyUpdate parked behind data raises no second POLLIN (6.14 and later), a partial record raises POLLIN
 * with nothing to read (6.0 to 6.4), and empty data records read as EAGAIN.
 */
import { constants } from 'node:os';
import { type Channel, receivedLength, receivedType } from '../kernel/binding.js';
import { ContentType } from '../tls/constants.js';
import { Turns } from '../turns.js';

const EAGAIN = -constants.errno.EAGAIN;

/** Where the bytes go. Each may destroy the socket. */
export interface ReceiverSink {
  /** Decrypted application data; `false` asks to stop. */
  data(chunk: Buffer): boolean;
  /** One control record. The payload is only valid during the call. */
  control(type: number, payload: Buffer): void;
  /** The TCP stream ended. */
  end(): void;
  /** `result` is a negated errno of `recvmsg(2)`. */
  failed(result: number): void;
  /** Whether the receiver waits for data: a waiting one keeps the event loop alive. */
  waiting(waits: boolean): void;
}

const SLAB_SIZE = 64 * 1024;
/** A record is never split over two calls into a slab with this much room. */
const RECORD_SIZE = 16 * 1024;
/** Less than this is copied out, so that a small message does not keep a slab alive. */
const COPY_BELOW = 4 * 1024;
/** After so many calls the loop gets its turn; the rest follows at once. */
const CALLS_PER_TURN = 16;

// One slab serves all sockets of the thread: a read never leaves it half used across a turn.
let slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
let slabUsed = 0;

function room(): Buffer {
  if (SLAB_SIZE - slabUsed < RECORD_SIZE) {
    slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
    slabUsed = 0;
  }
  return slab;
}

function take(length: number): Buffer {
  const received = slab.subarray(slabUsed, slabUsed + length);
  if (length < COPY_BELOW) return Buffer.from(received);
  slabUsed += length;
  return received;
}

/** The most that may follow the record at which a handshake fails, for its alert to get through. */
export const FLIGHT = 16 * 1024;

/**
 * Empties the receive queue, so that closing the socket does not answer unread records (tickets, a
 * close_notify) with a reset that overtakes what was sent. Bounded: a peer that keeps sending gets it.
 *
 * @param most - Bytes; behind a failed handshake `FLIGHT`.
 */
export function discardReceived(channel: Channel, most = CALLS_PER_TURN * SLAB_SIZE): void {
  let left = most;
  for (let calls = 0; calls < CALLS_PER_TURN && left > 0; calls++) {
    const slab = room();
    const result = channel.receive(slab.subarray(0, slabUsed + left), slabUsed);
    if (result <= 0) return;
    left -= receivedLength(result);
  }
}

export class Receiver {
  readonly #channel: Channel;
  readonly #sink: ReceiverSink;
  #wanted = false;
  #readable = true;
  readonly #reading = new Turns(() => this.#readSome());
  #stopped = false;

  constructor(channel: Channel, sink: ReceiverSink) {
    this.#channel = channel;
    this.#sink = sink;
  }

  /** The consumer wants data. */
  start(): void {
    if (this.#stopped) return;
    this.#wanted = true;
    this.#sink.waiting(true);
    if (this.#readable) this.#reading.take();
  }

  /** No more data for now; what the kernel holds stays there. */
  pause(): void {
    this.#wanted = false;
    this.#sink.waiting(false);
  }

  /** Never again. */
  stop(): void {
    this.#stopped = true;
    this.pause();
  }

  /** The channel saw a readable, error or hang-up event. */
  ready(): void {
    this.#readable = true;
    this.#reading.take();
  }

  /** @returns whether there may be more */
  #readSome(): boolean {
    let calls = 0;
    while (this.#wanted && this.#readable) {
      if (calls++ === CALLS_PER_TURN) return true;
      this.#dispatch(this.#channel.receive(room(), slabUsed));
    }
    return false;
  }

  #dispatch(result: number): void {
    if (result === EAGAIN) {
      this.#readable = false;
    } else if (result < 0) {
      this.stop();
      this.#sink.failed(result);
    } else {
      const type = receivedType(result);
      const length = receivedLength(result);
      if (type === ContentType.applicationData || type === 0) {
        if (length === 0) {
          this.stop();
          this.#sink.end();
        } else if (!this.#sink.data(take(length))) {
          this.pause();
        }
      } else {
        this.#sink.control(type, slab.subarray(slabUsed, slabUsed + length));
      }
    }
  }
}

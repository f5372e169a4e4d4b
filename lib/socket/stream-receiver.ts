/**
 * The receiver of a socket whose handle somebody reads, in JavaScript or in native code (`net.Socket`,
 * the HTTP/1 parser): the addon gives that consumer the data just as libuv would, and only what is no
 * data comes here. Each record comes as itself, and no event of the kernel's is waited for that may not
 * come.
 */
import { type Channel, receivedLength, receivedType } from '../kernel/binding.js';
import { ContentType } from '../tls/constants.js';

/** What is not for the consumer of the stream. Each may destroy the socket. */
export interface StreamReceiverSink {
  /** The consumer got data since the last record that was told here. */
  delivered(bytes: number): void;
  /** One control record. @returns whether data may not come next */
  control(type: number, payload: Buffer): boolean;
  /** Data came all the same; it is lost. */
  forbidden(): void;
  /** The TCP stream ended. */
  end(): void;
  /** `result` is a negated errno of `recvmsg(2)`. */
  failed(result: number): void;
  /** Whether the receiver waits for data: a waiting one keeps the event loop alive. */
  waiting(waits: boolean): void;
}

export class StreamReceiver {
  readonly #channel: Channel;
  readonly #sink: StreamReceiverSink;
  #wanted = false;
  #stopped = false;

  private constructor(channel: Channel, sink: StreamReceiverSink) {
    this.#channel = channel;
    this.#sink = sink;
  }

  /**
   * @param toTheEnd - See `Channel.feedStream`.
   * @returns `null` if the channel has no stream to feed. It must be reading at this moment.
   */
  static of(channel: Channel, sink: StreamReceiverSink, toTheEnd: boolean): StreamReceiver | null {
    const receiver = new StreamReceiver(channel, sink);
    const result = channel.feedStream(
      (result, payload, delivered) => receiver.#other(result, payload, delivered),
      toTheEnd ? 1 : 0,
    );
    return result === 0 ? receiver : null;
  }

  /** The consumer wants data. */
  start(): void {
    if (this.#stopped || this.#wanted) return;
    this.#wanted = true;
    this.#sink.waiting(true);
    this.#channel.startReading();
  }

  /** No more data for now; what the kernel holds stays there. */
  pause(): void {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#channel.stopReading();
    this.#sink.waiting(false);
  }

  /** Never again. */
  stop(): void {
    this.#stopped = true;
    this.pause();
  }

  #other(result: number, payload: Buffer, delivered: number): boolean {
    if (delivered > 0) this.#sink.delivered(delivered);
    if (result < 0) {
      this.stop();
      this.#sink.failed(result);
    } else {
      const type = receivedType(result);
      if (type !== ContentType.applicationData && type !== 0) {
        return this.#sink.control(type, payload);
      }
      this.stop();
      if (receivedLength(result) === 0) this.#sink.end();
      else this.#sink.forbidden();
    }
    return false;
  }
}

/**
 * The end of the writing side: close_notify, then the certainty that kernel TLS has handed every record
 * to TCP. Without it the last accepted record can be lost: with a full send buffer it waits in kTLS's
 * own list, a FIN passes it and close() frees it. Neither POLLOUT nor an accepted sendmsg rules that
 * out, so the bytes are counted: what TCP has taken must equal what the records add up to.
 */
import { constants } from 'node:os';
import { errnoError } from '../errors.js';
import type { Channel } from '../kernel/binding.js';
import type { Installed } from '../kernel/install.js';
import { AlertDescription, AlertLevel, buildAlert } from '../tls/alerts.js';
import { ContentType } from '../tls/constants.js';

const EAGAIN = -constants.errno.EAGAIN;
const EPIPE = -constants.errno.EPIPE;
const ECONNRESET = -constants.errno.ECONNRESET;
/** `<netinet/tcp.h>` */
export const TCP_CLOSE = 7;
const CLOSE_NOTIFY = buildAlert(AlertLevel.warning, AlertDescription.closeNotify);
/**
 * kTLS's worker empties its list some time after POLLOUT: looked for soon, then ever less often. With a peer
 * that does not read it is the edge to writable that tells, and the last of these waits only makes sure that
 * no missed edge can leave a connection open. In milliseconds.
 */
const FIRST_WAIT = 1;
const LONGEST_WAIT = 1000;

/**
 * What `Channel.bytesInTcp` comes to once every record accepted so far is in TCP's own queue; or a negated
 * errno, if the kernel does not tell how many they are.
 *
 * @param plaintext - Bytes of plaintext given to the kernel so far, control records' payloads included.
 */
export function expectedInTcp(channel: Channel, installed: Installed, plaintext: number): number {
  const { suite, version } = installed;
  const sequence = channel.sendSequence(version, suite.kernelCipher);
  if (typeof sequence === 'number') return sequence;
  const records = Number(sequence - installed.firstSendSequence);
  return installed.bytesInTcp + plaintext + records * suite.recordOverhead;
}

export class Closing {
  readonly #channel: Channel;
  readonly #installed: Installed;
  readonly #plaintext: () => number;
  readonly #peerEnded: () => boolean;
  readonly #done: (error: Error | null) => void;
  /** When close_notify is sent: what TCP must have taken. Nothing that matters is sent behind it. */
  #expected: number | null = null;
  #wait = FIRST_WAIT;
  #timer: NodeJS.Timeout | null = null;
  #finished = false;

  /**
   * @param plaintext - Bytes of plaintext given to the kernel so far, control records' payloads included.
   * @param peerEnded - Whether the peer has ended its side.
   * @param done - Called once: it is safe to send FIN, or the connection is broken.
   */
  constructor(
    channel: Channel,
    installed: Installed,
    plaintext: () => number,
    peerEnded: () => boolean,
    done: (error: Error | null) => void,
  ) {
    this.#channel = channel;
    this.#installed = installed;
    this.#plaintext = plaintext;
    this.#peerEnded = peerEnded;
    this.#done = done;
  }

  /** Tries to go on: called at the start, and whenever the socket becomes writable. */
  advance(): void {
    if (this.#finished) return;
    if (this.#expected === null) {
      const result = this.#channel.sendRecord(ContentType.alert, CLOSE_NOTIFY);
      if (result === EAGAIN) return;
      if (result < 0) {
        // Whoever has ended and is gone needs no goodbye.
        const gone = (result === EPIPE || result === ECONNRESET) && this.#peerEnded();
        this.#finish(gone ? null : errnoError(result, 'sendmsg'));
        return;
      }
      const plaintext = this.#plaintext() + CLOSE_NOTIFY.length;
      this.#expected = expectedInTcp(this.#channel, this.#installed, plaintext);
    }
    this.#wait = FIRST_WAIT;
    this.#look(this.#expected);
  }

  #look(expected: number): void {
    this.#stopTimer();
    const taken = this.#channel.bytesInTcp();
    // Nobody can say that it is safe.
    if (expected < 0 || taken < 0) {
      this.#finish(errnoError(Math.min(expected, taken), 'getsockopt'));
      return;
    }
    if (taken >= expected) {
      this.#finish(null);
      return;
    }
    // A reset: what TCP has not taken by now it never will. Its error may be gone: a send inside the kernel
    // that fails takes it along, and later ones, that of close_notify too, seem to succeed.
    if (this.#channel.tcpState() === TCP_CLOSE) {
      this.#finish(errnoError(this.#channel.takeError() || EPIPE, 'sendmsg'));
      return;
    }
    this.#timer = setTimeout(() => this.#look(expected), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  /** The socket is gone: nothing is called any more. */
  cancel(): void {
    this.#finished = true;
    this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #finish(error: Error | null): void {
    this.cancel();
    this.#done(error);
  }
}

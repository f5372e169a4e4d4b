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
/** `<netinet/tcp.h>` */
const TCP_CLOSE = 7;
const CLOSE_NOTIFY = buildAlert(AlertLevel.warning, AlertDescription.closeNotify);
/** kTLS's worker empties its list some time after POLLOUT; the wait in between, in milliseconds. */
const FIRST_WAIT = 1;
const LONGEST_WAIT = 50;

/** Whether every record accepted so far is in TCP's own queue. */
export function everythingInTcp(
  channel: Channel,
  installed: Installed,
  plaintext: number,
): boolean {
  const { suite, version } = installed;
  const sequence = channel.sendSequence(version, suite.kernelCipher);
  if (typeof sequence === 'number') return true;
  const records = Number(sequence - installed.firstSendSequence);
  const expected = installed.bytesInTcp + plaintext + records * suite.recordOverhead;
  return channel.bytesInTcp() >= expected;
}

export class Closing {
  readonly #channel: Channel;
  readonly #installed: Installed;
  readonly #plaintext: () => number;
  readonly #done: (error: Error | null) => void;
  #sent = false;
  #wait = FIRST_WAIT;
  #timer: NodeJS.Timeout | null = null;
  #finished = false;

  /**
   * @param plaintext - Bytes of plaintext given to the kernel so far, control records' payloads aside.
   * @param done - Called once: it is safe to send FIN, or the connection is broken.
   */
  constructor(
    channel: Channel,
    installed: Installed,
    plaintext: () => number,
    done: (error: Error | null) => void,
  ) {
    this.#channel = channel;
    this.#installed = installed;
    this.#plaintext = plaintext;
    this.#done = done;
  }

  /** Tries to go on: called at the start, and whenever the socket becomes writable. */
  advance(): void {
    if (this.#finished) return;
    if (!this.#sent) {
      const result = this.#channel.sendRecord(ContentType.alert, CLOSE_NOTIFY);
      if (result === EAGAIN) return;
      if (result < 0) {
        this.#finish(errnoError(result, 'sendmsg'));
        return;
      }
      this.#sent = true;
    }
    if (everythingInTcp(this.#channel, this.#installed, this.#plaintext() + CLOSE_NOTIFY.length)) {
      this.#finish(null);
      return;
    }
    // A reset: what TCP has not taken by now it never will. Its error may be gone: a send inside the kernel
    // that fails takes it along, and later ones, that of close_notify too, seem to succeed.
    if (this.#channel.tcpState() === TCP_CLOSE) {
      this.#finish(errnoError(this.#channel.takeError() || EPIPE, 'sendmsg'));
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
      this.advance();
    }, this.#wait);
  }

  /** The socket is gone: nothing is called any more. */
  cancel(): void {
    this.#finished = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #finish(error: Error | null): void {
    this.cancel();
    this.#done(error);
  }
}

/**
 * Session tickets of a TLS 1.3 client that the kernel has decrypted (RFC 8446 section 4.6.1). Only node:tls
 * can make a session of one, so the ticket is encrypted once more, as the next record that its TLS object
 * expects, and given to it: 'session' fires and `getSession()` answers as ever.
 */
import type { CipherSuite } from '../tls/cipher-suites.js';
import { ContentType, maxPlaintextLength } from '../tls/constants.js';
import { trafficKeys } from '../tls/key-schedule.js';
import { sealTls13Record } from '../tls/record-protection.js';
import { copySecret } from '../tls/secret.js';

export class SessionShadow {
  readonly #suite: CipherSuite;
  /** Of generation 0: a KeyUpdate changes the connection's keys, not those of the TLS object. */
  #secret: Buffer | null;
  readonly #feed: (record: Buffer) => Error | null;
  #sequence: bigint;

  /**
   * @param secret - `server_application_traffic_secret_0`; it is copied.
   * @param sequence - Number of the next record that the TLS object expects.
   * @param feed - Takes one record to the TLS object, and says what that has against it.
   */
  constructor(
    suite: CipherSuite,
    secret: Buffer,
    sequence: bigint,
    feed: (record: Buffer) => Error | null,
  ) {
    this.#suite = suite;
    this.#secret = copySecret(secret);
    this.#sequence = sequence;
    this.#feed = feed;
  }

  /**
   * @param message - One NewSessionTicket, header included, however many records it came in.
   * @returns why the connection must end, if it is none
   */
  ticket(message: Buffer): Error | null {
    if (this.#secret === null) return null;
    // Derived anew for each of the few: what is kept is one secret, not a key as well.
    const keys = trafficKeys(this.#suite, this.#secret);
    const records: Buffer[] = [];
    for (let at = 0; at < message.length; at += maxPlaintextLength) {
      const part = message.subarray(at, at + maxPlaintextLength);
      records.push(
        sealTls13Record(this.#suite, keys, this.#sequence++, ContentType.handshake, part),
      );
    }
    keys.key.fill(0);
    keys.iv.fill(0);
    for (const record of records) {
      const error = this.#feed(record);
      if (error !== null) return error;
    }
    return null;
  }

  wipe(): void {
    this.#secret?.fill(0);
    this.#secret = null;
  }
}

/**
 * Keying material exporters (RFC 5705 for TLS 1.2, RFC 8446 section 7.5 for TLS 1.3) of a connection whose
 * TLS object is gone. It keeps the one secret that they need, and nothing that encrypts a record.
 */
import { createHash } from 'node:crypto';
import type { CipherSuite } from './cipher-suites.js';
import { ProtocolVersion } from './constants.js';
import { hashLength, hkdfExpandLabel, prf } from './key-schedule.js';
import type { KeylogSecrets } from './keylog.js';
import { copySecret } from './secret.js';

const nothing = Buffer.alloc(0);

/** Labels that would give away what the protocol itself derives (RFC 5705 section 4). */
const reserved = [
  'client finished',
  'server finished',
  'master secret',
  'extended master secret',
  'key expansion',
];

/** Longest label: HkdfLabel has one byte for it, "tls13 " included. */
const longestTls13Label = 255 - 'tls13 '.length;

export class Exporter {
  readonly #suite: CipherSuite;
  #secret: Buffer;
  /** TLS 1.2: the client's random, then the server's. */
  readonly #randoms: Buffer;

  private constructor(suite: CipherSuite, secret: Buffer, randoms: Buffer) {
    this.#suite = suite;
    this.#secret = copySecret(secret);
    this.#randoms = randoms;
  }

  /** @returns `null` if the handshake did not disclose what is needed. */
  static of(
    suite: CipherSuite,
    secrets: KeylogSecrets,
    serverRandom: Buffer | null,
  ): Exporter | null {
    if (suite.version === ProtocolVersion.TLS13) {
      const { exporterSecret } = secrets;
      return exporterSecret && new Exporter(suite, exporterSecret, nothing);
    }
    const { masterSecret, clientRandom } = secrets;
    if (masterSecret === null || clientRandom === null || serverRandom === null) return null;
    return new Exporter(suite, masterSecret, Buffer.concat([clientRandom, serverRandom]));
  }

  /** Whether the secret is gone. */
  get wiped(): boolean {
    return this.#secret.length === 0;
  }

  /**
   * @param context - In TLS 1.3 none is the same as an empty one, in TLS 1.2 it is not.
   * @returns `length` bytes, or `null` for a label that is reserved or too long.
   */
  export(length: number, label: string, context?: Buffer): Buffer | null {
    const { hash, version } = this.#suite;
    if (version === ProtocolVersion.TLS13) {
      if (Buffer.byteLength(label) > longestTls13Label) return null;
      // An expansion ends at 255 blocks (RFC 5869 section 2.3).
      if (length > 255 * hashLength[hash]) return null;
      const digest = (data: Buffer): Buffer => createHash(hash).update(data).digest();
      const size = hashLength[hash];
      const derived = hkdfExpandLabel(hash, this.#secret, label, digest(nothing), size);
      const exported = hkdfExpandLabel(
        hash,
        derived,
        'exporter',
        digest(context ?? nothing),
        length,
      );
      derived.fill(0);
      return exported;
    }
    if (reserved.some((known) => label.startsWith(known))) return null;
    const seed = [this.#randoms];
    if (context !== undefined) {
      if (context.length > 0xffff) return null;
      seed.push(Buffer.from([context.length >> 8, context.length & 0xff]), context);
    }
    return prf(hash, this.#secret, label, Buffer.concat(seed), length);
  }

  wipe(): void {
    this.#secret.fill(0);
    this.#secret = nothing;
  }
}

/**
 * Secrets out of NSS key log lines (`tls.TLSSocket`'s 'keylog' event), read as bytes: a JavaScript
 * string can never be wiped. It keeps only what kernel TLS needs, and does not wipe the lines it is
 * given: they are shared with the application's own 'keylog' listeners.
 *
 * Format: https://www.ietf.org/archive/id/draft-ietf-tls-keylogfile-02.html, section 2.
 */
import { randomLength } from './constants.js';
import { allocateSecret } from './secret.js';

const labels = [
  'CLIENT_RANDOM',
  'CLIENT_TRAFFIC_SECRET_0',
  'SERVER_TRAFFIC_SECRET_0',
  'EXPORTER_SECRET',
] as const;
/** `CLIENT_RANDOM` carries TLS 1.2's master secret, the others are secrets of TLS 1.3. */
export type KeylogLabel = (typeof labels)[number];

const labelBytes = labels.map((label) => ({ label, bytes: Buffer.from(`${label} `, 'latin1') }));

/** TLS 1.2's master secret (RFC 5246 section 8.1). */
const masterSecretLength = 48;
/** TLS 1.3's secrets are as long as the hash of the suite: SHA-256 or SHA-384. */
const tls13SecretLengths: readonly number[] = [32, 48];

/** Owns the secrets of one connection until `wipe()`. */
export class KeylogSecrets {
  readonly #secrets = new Map<KeylogLabel, Buffer>();
  #clientRandom: Buffer | null = null;
  #repeated = false;
  #wiped = false;

  /**
   * Takes what a line says; of two with the same label the first stays, and `repeated` is set.
   * @param line one line, with or without its line feed. Left as it is.
   * @returns the label, or `null` for a line that is not one of ours or is malformed, and for every
   * line once wiped. Never throws.
   */
  add(line: Uint8Array): KeylogLabel | null {
    if (this.#wiped) return null;
    const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
    const found = labelBytes.find((known) => startsWith(bytes, known.bytes));
    if (found === undefined) return null;

    const randomAt = found.bytes.length;
    const secretAt = randomAt + 2 * randomLength + 1;
    const clientRandom = decodeHex(bytes.subarray(randomAt, secretAt - 1));
    if (clientRandom?.length !== randomLength || bytes[secretAt - 1] !== 0x20) return null;
    const secret = decodeHex(bytes.subarray(secretAt, endOfLine(bytes)));
    if (secret === null) return null;
    if (!isSecretLength(found.label, secret.length)) {
      secret.fill(0);
      return null;
    }

    if (this.#secrets.has(found.label)) {
      this.#repeated = true;
      secret.fill(0);
      return null;
    }
    this.#secrets.set(found.label, secret);
    this.#clientRandom = clientRandom;
    return found.label;
  }

  /** There was more than one handshake: which of them these are of is not known. */
  get repeated(): boolean {
    return this.#repeated;
  }

  /** 32 bytes, from whichever line came last: TLS 1.2's key block needs it. */
  get clientRandom(): Buffer | null {
    return this.#clientRandom;
  }

  /** TLS 1.2: 48 bytes. */
  get masterSecret(): Buffer | null {
    return this.#secrets.get('CLIENT_RANDOM') ?? null;
  }

  /** TLS 1.3: `client_application_traffic_secret_0`. */
  get clientTrafficSecret(): Buffer | null {
    return this.#secrets.get('CLIENT_TRAFFIC_SECRET_0') ?? null;
  }

  /** TLS 1.3: `server_application_traffic_secret_0`. */
  get serverTrafficSecret(): Buffer | null {
    return this.#secrets.get('SERVER_TRAFFIC_SECRET_0') ?? null;
  }

  /** TLS 1.3: `exporter_master_secret`. */
  get exporterSecret(): Buffer | null {
    return this.#secrets.get('EXPORTER_SECRET') ?? null;
  }

  /**
   * Fills everything with zeros, Buffers handed out by the getters included, and takes no more. A
   * line that comes late (renegotiation, a key update) leaves nothing behind.
   */
  wipe(): void {
    this.#wiped = true;
    this.#clientRandom?.fill(0);
    this.#clientRandom = null;
    for (const secret of this.#secrets.values()) secret.fill(0);
    this.#secrets.clear();
  }
}

const isSecretLength = (label: KeylogLabel, length: number): boolean =>
  label === 'CLIENT_RANDOM' ? length === masterSecretLength : tls13SecretLengths.includes(length);

const startsWith = (bytes: Buffer, prefix: Buffer): boolean =>
  bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;

/** Where the secret ends: before a line feed, if the line has one. */
function endOfLine(line: Buffer): number {
  let end = line.length;
  while (end > 0 && (line[end - 1] === 0x0a || line[end - 1] === 0x0d)) end--;
  return end;
}

/** `null` unless it is hexadecimal throughout; what was decoded of a bad line is wiped. */
function decodeHex(hex: Buffer): Buffer | null {
  if (hex.length % 2 !== 0) return null;
  const bytes = allocateSecret(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const value = nibble(hex[2 * i]!) * 16 + nibble(hex[2 * i + 1]!);
    if (Number.isNaN(value)) {
      bytes.fill(0);
      return null;
    }
    bytes[i] = value;
  }
  return bytes;
}

function nibble(ascii: number): number {
  if (ascii >= 0x30 && ascii <= 0x39) return ascii - 0x30;
  const lower = ascii | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : NaN;
}

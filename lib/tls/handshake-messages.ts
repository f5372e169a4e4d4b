/**
 * Reads the two Hellos (RFC 8446 sections 4.1.2 and 4.1.3, RFC 5246 section 7.4.1) off the plaintext part
 * of a handshake, for what no API of Node gives: the server's random, which TLS 1.2's key block needs,
 * and whether records were agreed to be small. It does not check the handshake: OpenSSL does, on the very
 * same bytes.
 */
import { HandshakeType, handshakeHeaderLength, randomLength } from './constants.js';
import { HandshakeAssembler } from './handshake-assembler.js';

export interface ServerHello {
  /** A copy, 32 bytes. */
  readonly serverRandom: Buffer;
  readonly cipherSuiteId: number;
  /** This ServerHello only asks for another ClientHello; the real one is still to come. */
  readonly isHelloRetryRequest: boolean;
  /** On the wire's terms, e.g. 0x0304: `supported_versions` if it is there, else `legacy_version`. */
  readonly version: number;
  /** It answers max_fragment_length. TLS 1.3 does so where it cannot be read, in EncryptedExtensions. */
  readonly maxFragmentLength: boolean;
}

const maxServerHelloLength = 65_536;
/** OpenSSL's `CLIENT_HELLO_MAX_LENGTH`: a longer one ends the handshake. */
const maxClientHelloLength = 131_396;

/** Extension types, RFC 6066 section 4 and RFC 8446 section 4.2.1. */
const maxFragmentLength = 1;
/** The least length that it can ask for, in bytes. */
export const leastFragmentLimit = 512;
const supportedVersions = 43;

/** SHA-256 of "HelloRetryRequest", the random that makes a ServerHello one: RFC 8446 section 4.1.3. */
const helloRetryRequestRandom = Buffer.from(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
);

/** Fed the payload of handshake records in any pieces; holds at most 64 KiB and never throws. */
export class ServerHelloScanner {
  readonly #assembler = new HandshakeAssembler({
    maxLength: maxServerHelloLength,
    wants: (type) => type === HandshakeType.serverHello,
  });
  #serverHello: ServerHello | null = null;
  #malformed = false;

  /** The last ServerHello seen, a HelloRetryRequest included. */
  get serverHello(): ServerHello | null {
    return this.#serverHello;
  }

  /** The real ServerHello is there: from here on records are encrypted, and `push` ignores them. */
  get done(): boolean {
    return this.#serverHello !== null && !this.#serverHello.isHelloRetryRequest;
  }

  /** A ServerHello could not be read; everything after it is ignored. */
  get malformed(): boolean {
    return this.#malformed;
  }

  /** @param payload plaintext of handshake records (type 22), without their headers. */
  push(payload: Uint8Array): void {
    if (this.done || this.#malformed) return;
    for (const { raw } of this.#assembler.push(payload)) {
      if (raw === null) continue;
      const hello = parseServerHello(raw.subarray(handshakeHeaderLength));
      this.#malformed = hello === null;
      this.#serverHello = hello ?? this.#serverHello;
      if (hello?.isHelloRetryRequest !== true) return;
    }
    this.#malformed = this.#assembler.oversized;
  }
}

/**
 * Fed the payload of the client's handshake records in any pieces, up to the real ServerHello; holds at
 * most 128 KiB and never throws.
 */
export class ClientHelloScanner {
  readonly #assembler = new HandshakeAssembler({
    maxLength: maxClientHelloLength,
    wants: (type) => type === HandshakeType.clientHello,
  });
  #fragmentLimit: number | null = null;

  /**
   * Bytes of plaintext, if a ClientHello (there are two where a HelloRetryRequest came between) offers
   * max_fragment_length: the least that was offered. One that cannot be read offers nothing: no handshake
   * comes of it.
   */
  get fragmentLimit(): number | null {
    return this.#fragmentLimit;
  }

  /** @param payload plaintext of handshake records (type 22), without their headers. */
  push(payload: Uint8Array): void {
    for (const { raw } of this.#assembler.push(payload)) {
      const offered = raw === null ? null : offeredFragmentLimit(raw);
      if (offered !== null) this.#fragmentLimit = Math.min(offered, this.#fragmentLimit ?? offered);
    }
  }
}

/** RFC 6066 section 4: 1 to 4 stand for 2^9 to 2^12. What stands for nothing ends the handshake. */
function offeredFragmentLimit(clientHello: Buffer): number | null {
  const body = clientHello.subarray(handshakeHeaderLength);
  let offered: number | null = null;
  const wellFormed = readExtensions(body, clientExtensionsAt(body), (type, content) => {
    if (type !== maxFragmentLength) return true;
    const [code = 0] = content;
    offered = code >= 1 && code <= 4 ? 2 ** (8 + code) : leastFragmentLimit;
    return true;
  });
  return wellFormed ? offered : null;
}

/**
 * legacy_version(2) random(32) session_id<0..32> cipher_suites<2..2^16-2> compression_methods<1..2^8-1>
 * extensions<0..2^16-1>. Reads over what is not there: the result may lie behind the end.
 */
function clientExtensionsAt(body: Buffer): number {
  const sessionIdAt = 2 + randomLength;
  const suitesAt = sessionIdAt + 1 + (body[sessionIdAt] ?? 0);
  if (body.length < suitesAt + 2) return Infinity;
  const compressionAt = suitesAt + 2 + body.readUInt16BE(suitesAt);
  return compressionAt + 1 + (body[compressionAt] ?? 0);
}

/** legacy_version(2) random(32) session_id<0..32> cipher_suite(2) compression(1) extensions<0..2^16-1>. */
function parseServerHello(body: Buffer): ServerHello | null {
  const sessionIdLength = body[2 + randomLength];
  if (sessionIdLength === undefined || sessionIdLength > 32) return null;
  const suiteAt = 2 + randomLength + 1 + sessionIdLength;
  const extensionsAt = suiteAt + 3;
  if (body.length < extensionsAt) return null;

  let version = body.readUInt16BE(0);
  let limited = false;
  const wellFormed = readExtensions(body, extensionsAt, (type, content) => {
    limited ||= type === maxFragmentLength;
    if (type !== supportedVersions) return true;
    if (content.length !== 2) return false;
    version = content.readUInt16BE(0);
    return true;
  });
  if (!wellFormed) return null;

  const serverRandom = Buffer.from(body.subarray(2, 2 + randomLength));
  return {
    serverRandom,
    cipherSuiteId: body.readUInt16BE(suiteAt),
    isHelloRetryRequest: serverRandom.equals(helloRetryRequestRandom),
    version,
    maxFragmentLength: limited,
  };
}

/**
 * Visits each extension of the list with which a Hello ends, until a visit answers `false`.
 * @returns whether it is well formed and was accepted.
 */
function readExtensions(
  body: Buffer,
  listAt: number,
  visit: (type: number, content: Buffer) => boolean,
): boolean {
  if (listAt === body.length) return true; // TLS 1.2 may leave the list out
  if (body.length < listAt + 2) return false;
  let offset = listAt + 2;
  if (offset + body.readUInt16BE(listAt) !== body.length) return false;

  while (offset < body.length) {
    if (body.length - offset < 4) return false;
    const type = body.readUInt16BE(offset);
    const contentAt = offset + 4;
    const length = body.readUInt16BE(offset + 2);
    if (length > body.length - contentAt) return false;
    offset = contentAt + length;
    if (!visit(type, body.subarray(contentAt, offset))) return false;
  }
  return true;
}

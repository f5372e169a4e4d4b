/**
 * Reads ServerHello (RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3) off the plaintext part of a
 * handshake: the server's random, which no API of Node gives and TLS 1.2's key block needs, and what
 * was negotiated. It does not check the handshake: OpenSSL does, on the very same bytes.
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
}

const maxServerHelloLength = 65_536;
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

/** legacy_version(2) random(32) session_id<0..32> cipher_suite(2) compression(1) extensions<0..2^16-1>. */
function parseServerHello(body: Buffer): ServerHello | null {
  const sessionIdLength = body[2 + randomLength];
  if (sessionIdLength === undefined || sessionIdLength > 32) return null;
  const suiteAt = 2 + randomLength + 1 + sessionIdLength;
  const extensionsAt = suiteAt + 3;
  if (body.length < extensionsAt) return null;

  const version = negotiatedVersion(body, extensionsAt);
  if (version === null) return null;
  const serverRandom = Buffer.from(body.subarray(2, 2 + randomLength));
  return {
    serverRandom,
    cipherSuiteId: body.readUInt16BE(suiteAt),
    isHelloRetryRequest: serverRandom.equals(helloRetryRequestRandom),
    version,
  };
}

function negotiatedVersion(body: Buffer, extensionsAt: number): number | null {
  const legacyVersion = body.readUInt16BE(0);
  if (extensionsAt === body.length) return legacyVersion; // TLS 1.2 may leave the extensions out
  if (body.length < extensionsAt + 2) return null;
  let offset = extensionsAt + 2;
  if (offset + body.readUInt16BE(extensionsAt) !== body.length) return null;

  let version = legacyVersion;
  while (offset < body.length) {
    if (body.length - offset < 4) return null;
    const type = body.readUInt16BE(offset);
    const length = body.readUInt16BE(offset + 2);
    offset += 4;
    if (length > body.length - offset) return null;
    if (type === supportedVersions) {
      if (length !== 2) return null;
      version = body.readUInt16BE(offset);
    }
    offset += length;
  }
  return version;
}

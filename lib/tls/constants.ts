/**
 * Numbers and limits of the TLS record and handshake protocols. Only what the wire says: nothing of
 * the kernel (see `cipher-suites.ts`) and no parsing.
 */

/** Record content types, RFC 8446 section 5.1. */
export const ContentType = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
} as const;
export type ContentType = (typeof ContentType)[keyof typeof ContentType];

/** Protocol versions as they stand on the wire and in the kernel's `tls_crypto_info.version`. */
export const ProtocolVersion = { TLS12: 0x0303, TLS13: 0x0304 } as const;
export type ProtocolVersion = (typeof ProtocolVersion)[keyof typeof ProtocolVersion];

/** Handshake message types, RFC 8446 section 4 and RFC 5246 section 7.4. */
export const HandshakeType = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  endOfEarlyData: 5,
  encryptedExtensions: 8,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
  certificateStatus: 22,
  keyUpdate: 24,
} as const;
export type HandshakeType = (typeof HandshakeType)[keyof typeof HandshakeType];

/** Bytes of a record header: type, version, length. */
export const recordHeaderLength = 5;

/** Most plaintext bytes in one record, RFC 8446 section 5.1. */
export const maxPlaintextLength = 16_384;

/** Most bytes a record's payload may be longer than its plaintext: RFC 5246 6.2.3, RFC 8446 5.2. */
export const maxCiphertextExpansion = {
  [ProtocolVersion.TLS12]: 2048,
  [ProtocolVersion.TLS13]: 256,
} as const;

/** Most payload bytes of any record, whatever its version. */
export const maxRecordPayloadLength =
  maxPlaintextLength + maxCiphertextExpansion[ProtocolVersion.TLS12];

/** Bytes of a handshake message's header: type and a 24-bit length. */
export const handshakeHeaderLength = 4;

/** Bytes of the client's and of the server's random. */
export const randomLength = 32;

const versionsByName: ReadonlyMap<string | null, ProtocolVersion> = new Map([
  ['TLSv1.2', ProtocolVersion.TLS12],
  ['TLSv1.3', ProtocolVersion.TLS13],
]);

/**
 * The version that `tls.TLSSocket.getProtocol()` names, or `undefined` for one that kernel TLS never
 * had (and for the `null` of a destroyed socket).
 */
export function protocolVersion(name: string | null): ProtocolVersion | undefined {
  return versionsByName.get(name);
}

/**
 * The one table of cipher suites: those OpenSSL can negotiate and whose record protection Linux knows
 * (`<linux/tls.h>`). Planning, key derivation and tests all read it. It does not say what *this* host's
 * kernel accepts (probe for that), and it has no row for what no kernel can do: CCM_8 (8-byte tag),
 * AES-256-CCM and every CBC or RC4 suite.
 */
import { ProtocolVersion, recordHeaderLength } from './constants.js';

/** `TLS_CIPHER_*` of `<linux/tls.h>`. SM4 (55, 56) is missing: OpenSSL has no TLS suite with it. */
export const KernelCipher = {
  aesGcm128: 51,
  aesGcm256: 52,
  aesCcm128: 53,
  chacha20Poly1305: 54,
  ariaGcm128: 57,
  ariaGcm256: 58,
} as const;
export type KernelCipher = (typeof KernelCipher)[keyof typeof KernelCipher];

export type SuiteHash = 'sha256' | 'sha384';

/** Record protection as the kernel's `tls12_crypto_info_*` structure has it; lengths in bytes. */
interface Aead {
  readonly kernelCipher: KernelCipher;
  /** The name `node:crypto` has for it. */
  readonly algorithm: string;
  readonly keyLength: number;
  readonly saltLength: number;
  readonly ivLength: number;
  readonly tagLength: number;
}

export interface CipherSuite extends Aead {
  /** IANA's number. */
  readonly id: number;
  /** OpenSSL's name: `tls.TLSSocket.getCipher().name`. */
  readonly name: string;
  /** IANA's name: `getCipher().standardName`. */
  readonly standardName: string;
  readonly version: ProtocolVersion;
  /** Of TLS 1.2's PRF, or of TLS 1.3's HKDF. */
  readonly hash: SuiteHash;
  /** Bytes of IV that the key schedule yields: TLS 1.2 GCM and CCM have only the implicit part. */
  readonly writeIvLength: number;
  /** Bytes of nonce that stand in front of each record's ciphertext: TLS 1.2 GCM and CCM only. */
  readonly explicitNonceLength: number;
  /** Bytes on the wire per record beside its plaintext: header, explicit nonce, type byte, tag. */
  readonly recordOverhead: number;
}

const aead = (
  kernelCipher: KernelCipher,
  algorithm: string,
  keyLength: number,
  saltLength: number,
  ivLength: number,
): Aead => ({ kernelCipher, algorithm, keyLength, saltLength, ivLength, tagLength: 16 });

const AES128 = aead(KernelCipher.aesGcm128, 'aes-128-gcm', 16, 4, 8);
const AES256 = aead(KernelCipher.aesGcm256, 'aes-256-gcm', 32, 4, 8);
const CCM128 = aead(KernelCipher.aesCcm128, 'aes-128-ccm', 16, 4, 8);
const CHACHA = aead(KernelCipher.chacha20Poly1305, 'chacha20-poly1305', 32, 0, 12);
const ARIA128 = aead(KernelCipher.ariaGcm128, 'aria-128-gcm', 16, 4, 8);
const ARIA256 = aead(KernelCipher.ariaGcm256, 'aria-256-gcm', 32, 4, 8);

type Row = readonly [
  id: number,
  name: string,
  standardName: string,
  protection: Aead,
  hash: SuiteHash,
];

/** RFC 8446 sections 5.2 (the inner content type is one byte more) and 5.3 (nonce never on the wire). */
function tls13([id, name, standardName, protection, hash]: Row): CipherSuite {
  return Object.freeze({
    id,
    name,
    standardName,
    version: ProtocolVersion.TLS13,
    hash,
    ...protection,
    writeIvLength: 12,
    explicitNonceLength: 0,
    recordOverhead: recordHeaderLength + 1 + protection.tagLength,
  });
}

/** RFC 5288 section 3 (GCM), RFC 6655 section 3 (CCM), RFC 6209 (ARIA), RFC 7905 section 2 (ChaCha20). */
function tls12([id, name, standardName, protection, hash]: Row): CipherSuite {
  const implicit = protection.saltLength === 0;
  const explicitNonceLength = implicit ? 0 : protection.ivLength;
  return Object.freeze({
    id,
    name,
    standardName,
    version: ProtocolVersion.TLS12,
    hash,
    ...protection,
    writeIvLength: implicit ? protection.ivLength : protection.saltLength,
    explicitNonceLength,
    recordOverhead: recordHeaderLength + explicitNonceLength + protection.tagLength,
  });
}

const tls13Rows: readonly Row[] = [
  [0x1301, 'TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x1302, 'TLS_AES_256_GCM_SHA384', 'TLS_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0x1303, 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0x1304, 'TLS_AES_128_CCM_SHA256', 'TLS_AES_128_CCM_SHA256', CCM128, 'sha256'],
];

// prettier-ignore
const tls12Rows: readonly Row[] = [
  [0xc02b, 'ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0xc02c, 'ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xcca9, 'ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc0ac, 'ECDHE-ECDSA-AES128-CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM', CCM128, 'sha256'],
  [0xc05c, 'ECDHE-ECDSA-ARIA128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc05d, 'ECDHE-ECDSA-ARIA256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0xc02f, 'ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0xc030, 'ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xcca8, 'ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc060, 'ECDHE-ARIA128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc061, 'ECDHE-ARIA256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0x009e, 'DHE-RSA-AES128-GCM-SHA256', 'TLS_DHE_RSA_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x009f, 'DHE-RSA-AES256-GCM-SHA384', 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xccaa, 'DHE-RSA-CHACHA20-POLY1305', 'TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc09e, 'DHE-RSA-AES128-CCM', 'TLS_DHE_RSA_WITH_AES_128_CCM', CCM128, 'sha256'],
  [0xc052, 'DHE-RSA-ARIA128-GCM-SHA256', 'TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc053, 'DHE-RSA-ARIA256-GCM-SHA384', 'TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0x00a2, 'DHE-DSS-AES128-GCM-SHA256', 'TLS_DHE_DSS_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x00a3, 'DHE-DSS-AES256-GCM-SHA384', 'TLS_DHE_DSS_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xc056, 'DHE-DSS-ARIA128-GCM-SHA256', 'TLS_DHE_DSS_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc057, 'DHE-DSS-ARIA256-GCM-SHA384', 'TLS_DHE_DSS_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0x00a6, 'ADH-AES128-GCM-SHA256', 'TLS_DH_anon_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x00a7, 'ADH-AES256-GCM-SHA384', 'TLS_DH_anon_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],

  [0x009c, 'AES128-GCM-SHA256', 'TLS_RSA_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x009d, 'AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xc09c, 'AES128-CCM', 'TLS_RSA_WITH_AES_128_CCM', CCM128, 'sha256'],
  [0xc050, 'ARIA128-GCM-SHA256', 'TLS_RSA_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc051, 'ARIA256-GCM-SHA384', 'TLS_RSA_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0x00a8, 'PSK-AES128-GCM-SHA256', 'TLS_PSK_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x00a9, 'PSK-AES256-GCM-SHA384', 'TLS_PSK_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xccab, 'PSK-CHACHA20-POLY1305', 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc0a4, 'PSK-AES128-CCM', 'TLS_PSK_WITH_AES_128_CCM', CCM128, 'sha256'],
  [0xc06a, 'PSK-ARIA128-GCM-SHA256', 'TLS_PSK_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc06b, 'PSK-ARIA256-GCM-SHA384', 'TLS_PSK_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0xccac, 'ECDHE-PSK-CHACHA20-POLY1305', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],

  [0x00aa, 'DHE-PSK-AES128-GCM-SHA256', 'TLS_DHE_PSK_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x00ab, 'DHE-PSK-AES256-GCM-SHA384', 'TLS_DHE_PSK_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xccad, 'DHE-PSK-CHACHA20-POLY1305', 'TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc0a6, 'DHE-PSK-AES128-CCM', 'TLS_DHE_PSK_WITH_AES_128_CCM', CCM128, 'sha256'],
  [0xc06c, 'DHE-PSK-ARIA128-GCM-SHA256', 'TLS_DHE_PSK_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc06d, 'DHE-PSK-ARIA256-GCM-SHA384', 'TLS_DHE_PSK_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],

  [0x00ac, 'RSA-PSK-AES128-GCM-SHA256', 'TLS_RSA_PSK_WITH_AES_128_GCM_SHA256', AES128, 'sha256'],
  [0x00ad, 'RSA-PSK-AES256-GCM-SHA384', 'TLS_RSA_PSK_WITH_AES_256_GCM_SHA384', AES256, 'sha384'],
  [0xccae, 'RSA-PSK-CHACHA20-POLY1305', 'TLS_RSA_PSK_WITH_CHACHA20_POLY1305_SHA256', CHACHA, 'sha256'],
  [0xc06e, 'RSA-PSK-ARIA128-GCM-SHA256', 'TLS_RSA_PSK_WITH_ARIA_128_GCM_SHA256', ARIA128, 'sha256'],
  [0xc06f, 'RSA-PSK-ARIA256-GCM-SHA384', 'TLS_RSA_PSK_WITH_ARIA_256_GCM_SHA384', ARIA256, 'sha384'],
];

/** Every suite kernel TLS could ever carry. Frozen, rows too. */
export const cipherSuites: readonly CipherSuite[] = Object.freeze([
  ...tls13Rows.map(tls13),
  ...tls12Rows.map(tls12),
]);

const byId: ReadonlyMap<number, CipherSuite> = new Map(cipherSuites.map((row) => [row.id, row]));
const byName: ReadonlyMap<string, CipherSuite> = new Map(
  cipherSuites.map((row) => [row.name, row]),
);

/** The suite that ServerHello named by IANA's number; `undefined` if the kernel cannot have it. */
export function cipherSuiteById(id: number): CipherSuite | undefined {
  return byId.get(id);
}

/**
 * The suite that `getCipher().name` names. A row answers only for its own version: OpenSSL's TLS 1.2
 * suites are of no use under an older protocol.
 */
export function cipherSuiteByName(name: string, version: number): CipherSuite | undefined {
  const suite = byName.get(name);
  return suite?.version === version ? suite : undefined;
}

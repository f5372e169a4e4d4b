/**
 * Record protection as the kernel does it, from the very bytes it is given (`kernelMaterial`): the
 * reference the tests hold the table and the key schedule against.
 */
import { createCipheriv, createDecipheriv, type CipherCCMTypes } from 'node:crypto';

import type { CipherSuite } from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion, recordHeaderLength } from '../../../lib/tls/constants.js';
import { buildRecordHeader } from '../../../lib/tls/record.js';

export interface Opened {
  readonly contentType: number;
  readonly plaintext: Buffer;
}

/** @returns `null` if the tag is wrong. `material`'s own `rec_seq` is replaced by `sequence`. */
export function openRecord(
  suite: CipherSuite,
  material: Uint8Array,
  sequence: bigint,
  record: Buffer,
): Opened | null {
  const header = record.subarray(0, recordHeaderLength);
  const nonceEnd = recordHeaderLength + suite.explicitNonceLength;
  const tagAt = record.length - suite.tagLength;
  if (tagAt < nonceEnd) return null;
  const ciphertext = record.subarray(nonceEnd, tagAt);
  const explicit = record.subarray(recordHeaderLength, nonceEnd);
  const { key, nonce } = split(suite, material, sequence, explicit);
  const decipher = createDecipheriv(suite.algorithm as CipherCCMTypes, key, nonce, {
    authTagLength: suite.tagLength,
  });
  decipher.setAAD(additionalData(suite, header, sequence, ciphertext.length), {
    plaintextLength: ciphertext.length,
  });
  decipher.setAuthTag(record.subarray(tagAt));
  try {
    const plaintext = Buffer.concat([decipher.update(ciphertext), decipher.final()]);
    if (suite.version === ProtocolVersion.TLS12) return { contentType: header[0]!, plaintext };
    const typeAt = plaintext.findLastIndex((byte) => byte !== 0);
    return { contentType: plaintext[typeAt]!, plaintext: plaintext.subarray(0, typeAt) };
  } catch {
    return null;
  }
}

/** The record the kernel would send. TLS 1.2 GCM and CCM: with the nonce that is in `material`. */
export function sealRecord(
  suite: CipherSuite,
  material: Uint8Array,
  sequence: bigint,
  { contentType, plaintext }: Opened,
): Buffer {
  const tls13 = suite.version === ProtocolVersion.TLS13;
  const { keyLength, saltLength, explicitNonceLength } = suite;
  const nonceAt = keyLength + saltLength;
  const explicit = Buffer.from(material.subarray(nonceAt, nonceAt + explicitNonceLength));
  const { key, nonce } = split(suite, material, sequence, explicit);
  const inner = tls13 ? Buffer.concat([plaintext, Buffer.from([contentType])]) : plaintext;
  const header = buildRecordHeader(
    tls13 ? 23 : contentType,
    plaintext.length + suite.recordOverhead - recordHeaderLength,
  );
  const cipher = createCipheriv(suite.algorithm as CipherCCMTypes, key, nonce, {
    authTagLength: suite.tagLength,
  });
  cipher.setAAD(additionalData(suite, header, sequence, inner.length), {
    plaintextLength: inner.length,
  });
  const ciphertext = Buffer.concat([cipher.update(inner), cipher.final()]);
  return Buffer.concat([header, explicit, ciphertext, cipher.getAuthTag()]);
}

function split(
  suite: CipherSuite,
  material: Uint8Array,
  sequence: bigint,
  explicit: Buffer,
): { key: Buffer; nonce: Buffer } {
  const { keyLength, saltLength, ivLength } = suite;
  const bytes = Buffer.from(material);
  const key = bytes.subarray(0, keyLength);
  const salt = bytes.subarray(keyLength, keyLength + saltLength);
  if (suite.explicitNonceLength > 0) return { key, nonce: Buffer.concat([salt, explicit]) };
  const nonce = bytes.subarray(keyLength, keyLength + saltLength + ivLength);
  const last = nonce.length - 8;
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(last) ^ sequence, last);
  return { key, nonce };
}

/** RFC 8446 section 5.2; RFC 5246 section 6.2.3.3. */
function additionalData(
  suite: CipherSuite,
  header: Buffer,
  sequence: bigint,
  length: number,
): Buffer {
  if (suite.version === ProtocolVersion.TLS13) return header;
  const data = Buffer.alloc(8 + recordHeaderLength);
  data.writeBigUInt64BE(sequence);
  header.copy(data, 8);
  data.writeUInt16BE(length, 8 + 3);
  return data;
}

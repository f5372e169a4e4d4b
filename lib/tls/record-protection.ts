/** Seals TLS 1.3 records in user space: only for what must not go through the kernel. */
import { type CipherGCMTypes, createCipheriv } from 'node:crypto';
import type { CipherSuite } from './cipher-suites.js';
import { ContentType, recordHeaderLength } from './constants.js';
import type { WriteKeys } from './key-schedule.js';
import { copySecret } from './secret.js';

/** One record, RFC 8446 sections 5.2 and 5.3. `payload` is at most 2^14 bytes. */
export function sealTls13Record(
  suite: CipherSuite,
  { key, iv }: WriteKeys,
  sequence: bigint,
  type: ContentType,
  payload: Buffer,
): Buffer {
  const inner = Buffer.concat([payload, Buffer.from([type])]);
  const header = Buffer.from([ContentType.applicationData, 3, 3, 0, 0]);
  header.writeUInt16BE(payload.length + suite.recordOverhead - recordHeaderLength, 3);
  // The per-record nonce: the sequence number, on the right of the IV.
  const nonce = copySecret(iv);
  const at = nonce.length - 8;
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(at) ^ sequence, at);
  const cipher = createCipheriv(suite.algorithm as CipherGCMTypes, key, nonce, {
    authTagLength: suite.tagLength,
  });
  nonce.fill(0);
  // CCM must know the length ahead; for the others it is of no effect.
  cipher.setAAD(header, { plaintextLength: inner.length });
  const ciphertext = [cipher.update(inner), cipher.final()];
  return Buffer.concat([header, ...ciphertext, cipher.getAuthTag()]);
}

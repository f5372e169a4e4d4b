/**
 * From secrets to what the kernel takes: HKDF-Expand-Label and key updates of TLS 1.3 (RFC 8446
 * section 7), PRF and key block of TLS 1.2 (RFC 5246 sections 5 and 6.3), and the byte layout of
 * `Channel.installKeys`. It derives nothing of the handshake itself: the secrets come from the key log.
 *
 * Whoever gets a Buffer from here owns it and wipes it; arguments are left as they are; everything in
 * between is wiped before a function returns. Where secrets may be: `secret.ts`.
 */
import { createHmac } from 'node:crypto';

import type { CipherSuite, SuiteHash } from './cipher-suites.js';
import { allocateSecret } from './secret.js';

/** One direction's write key and write IV. */
export interface WriteKeys {
  readonly key: Buffer;
  readonly iv: Buffer;
}

/** Bytes of the kernel's `rec_seq`. */
const recordSequenceLength = 8;
/** Bytes of a hash, and so of a TLS 1.3 secret. */
export const hashLength = { sha256: 32, sha384: 48 } as const;
const nothing = Buffer.alloc(0);

/**
 * HKDF-Expand-Label, RFC 8446 section 7.1.
 * @param label without its "tls13 ".
 * @param length bytes wanted.
 */
export function hkdfExpandLabel(
  hash: SuiteHash,
  secret: Buffer,
  label: string,
  context: Buffer,
  length: number,
): Buffer {
  const fullLabel = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 0xff, fullLabel.length]),
    fullLabel,
    Buffer.from([context.length]),
    context,
  ]);
  // HKDF-Expand, RFC 5869 section 2.3: T(i) = HMAC(secret, T(i-1) ‖ info ‖ i).
  return expand(length, (previous, i) =>
    createHmac(hash, secret)
      .update(previous ?? nothing)
      .update(info)
      .update(Buffer.from([i]))
      .digest(),
  );
}

/** The keys of one direction of TLS 1.3 from its traffic secret, RFC 8446 section 7.3. */
export function trafficKeys(suite: CipherSuite, trafficSecret: Buffer): WriteKeys {
  return {
    key: hkdfExpandLabel(suite.hash, trafficSecret, 'key', nothing, suite.keyLength),
    iv: hkdfExpandLabel(suite.hash, trafficSecret, 'iv', nothing, suite.writeIvLength),
  };
}

/** The traffic secret after a KeyUpdate, RFC 8446 section 7.2. Record numbers start at 0 again. */
export function nextTrafficSecret(suite: CipherSuite, trafficSecret: Buffer): Buffer {
  const length = hashLength[suite.hash];
  return hkdfExpandLabel(suite.hash, trafficSecret, 'traffic upd', nothing, length);
}

/** TLS 1.2's PRF, RFC 5246 section 5. */
export function prf(
  hash: SuiteHash,
  secret: Buffer,
  label: string,
  seed: Buffer,
  length: number,
): Buffer {
  const labelAndSeed = Buffer.concat([Buffer.from(label), seed]);
  // P_hash: A(0) = label ‖ seed, A(i) = HMAC(secret, A(i-1)); block i = HMAC(secret, A(i) ‖ label ‖ seed).
  const a = [labelAndSeed];
  const output = expand(length, (_, i) => {
    const next = createHmac(hash, secret)
      .update(a[i - 1]!)
      .digest();
    a.push(next);
    return createHmac(hash, secret).update(next).update(labelAndSeed).digest();
  });
  for (const value of a) value.fill(0);
  return output;
}

/** Both directions' keys of TLS 1.2 from the master secret, RFC 5246 section 6.3. */
export function keyBlock(
  suite: CipherSuite,
  masterSecret: Buffer,
  clientRandom: Buffer,
  serverRandom: Buffer,
): { client: WriteKeys; server: WriteKeys } {
  const { keyLength, writeIvLength } = suite;
  const seed = Buffer.concat([serverRandom, clientRandom]);
  const block = prf(
    suite.hash,
    masterSecret,
    'key expansion',
    seed,
    2 * (keyLength + writeIvLength),
  );
  let offset = 0;
  const take = (length: number): Buffer => {
    const part = allocateSecret(length);
    block.copy(part, 0, offset, (offset += length));
    return part;
  };
  // An AEAD has no MAC keys: client key, server key, client IV, server IV.
  const clientKey = take(keyLength);
  const serverKey = take(keyLength);
  const keys = {
    client: { key: clientKey, iv: take(writeIvLength) },
    server: { key: serverKey, iv: take(writeIvLength) },
  };
  block.fill(0);
  return keys;
}

/**
 * `key ‖ salt ‖ iv ‖ rec_seq` for `Channel.installKeys`, in memory of its own.
 * @param explicitNonce for TLS 1.2 GCM and CCM the 8 bytes that the next record is to carry (for RX
 * the kernel takes them from each record, any 8 bytes do); `null` for all others.
 * @param recordSequence of the next record, 0 to 2**64 - 1.
 * @throws RangeError on any length that does not fit the suite: a wrong layout would still encrypt.
 */
export function kernelMaterial(
  suite: CipherSuite,
  { key, iv }: WriteKeys,
  explicitNonce: Uint8Array | null,
  recordSequence: bigint,
): Uint8Array {
  requireLength('key', key, suite.keyLength);
  requireLength('write IV', iv, suite.writeIvLength);
  requireLength('explicit nonce', explicitNonce ?? nothing, suite.explicitNonceLength);
  if (recordSequence < 0n || recordSequence >= 1n << 64n) {
    throw new RangeError(`${recordSequence.toString()} is no record sequence number`);
  }

  const { keyLength, saltLength, ivLength } = suite;
  const material = allocateSecret(keyLength + saltLength + ivLength + recordSequenceLength);
  // Salt and IV stand next to each other: what TLS calls the write IV is simply cut in two, and in
  // TLS 1.2 the explicit nonce makes up the second part.
  material.set(key, 0);
  material.set(iv, keyLength);
  if (explicitNonce !== null) material.set(explicitNonce, keyLength + saltLength);
  material.writeBigUInt64BE(recordSequence, keyLength + saltLength + ivLength);
  return material;
}

/**
 * The explicit nonce after `nonce`, by OpenSSL's own rule: it starts at random and counts up, so the
 * kernel goes on one after the last record OpenSSL wrote, and no nonce is ever used twice.
 */
export function nextExplicitNonce(nonce: Uint8Array): Buffer {
  requireLength('explicit nonce', nonce, 8);
  const next = Buffer.alloc(8);
  next.set(nonce);
  next.writeBigUInt64BE(BigInt.asUintN(64, next.readBigUInt64BE() + 1n));
  return next;
}

/** Concatenates blocks until there are `length` bytes; wipes the blocks. */
function expand(length: number, block: (previous: Buffer | null, i: number) => Buffer): Buffer {
  const output = allocateSecret(length);
  let previous: Buffer | null = null;
  let filled = 0;
  for (let i = 1; filled < length; i++) {
    const next = block(previous, i);
    filled += next.copy(output, filled);
    previous?.fill(0);
    previous = next;
  }
  previous?.fill(0);
  return output;
}

function requireLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new RangeError(`${what} has ${bytes.length} bytes, the cipher suite needs ${length}`);
  }
}

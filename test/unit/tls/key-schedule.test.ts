import crypto from 'node:crypto';

import { beforeEach, describe, expect, it, vi } from 'vitest';

import { cipherSuiteById, cipherSuites, type CipherSuite } from '../../../lib/tls/cipher-suites.js';
import {
  hkdfExpandLabel,
  kernelMaterial,
  keyBlock,
  nextExplicitNonce,
  nextTrafficSecret,
  prf,
  trafficKeys,
  type WriteKeys,
} from '../../../lib/tls/key-schedule.js';
import { rfc8448 } from '../../vectors/rfc8448.js';
import { keyExpansionVector, prfVectors } from '../../vectors/tls12-prf.js';
import { openRecord, sealRecord } from './record-protection.js';

/** Everything that left `createHmac().digest()`: each is a secret in between, or part of one. */
const digests = vi.hoisted((): Buffer[] => []);

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof crypto>();
  const createHmac: typeof crypto.createHmac = (...args) => {
    const hmac = original.createHmac(...args);
    const digest = hmac.digest.bind(hmac);
    hmac.digest = (() => {
      const bytes = digest();
      digests.push(bytes);
      return bytes;
    }) as typeof hmac.digest;
    return hmac;
  };
  return { ...original, createHmac, default: original };
});

beforeEach(() => {
  digests.length = 0;
});

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const suite = (id: number): CipherSuite => cipherSuiteById(id)!;
const AES128_GCM = suite(0x1301);
const none = Buffer.alloc(0);
const sides = ['client', 'server'] as const;

describe("TLS 1.3: RFC 8448's handshake", () => {
  const { application, handshake } = rfc8448;

  it('derives the traffic secrets from the handshake secret on', () => {
    const derive = (secret: Buffer, label: string, hash: Buffer): Buffer =>
      hkdfExpandLabel('sha256', secret, label, hash, 32);
    const helloHash = crypto
      .createHash('sha256')
      .update(rfc8448.clientHello)
      .update(rfc8448.serverHello)
      .digest();
    const emptyHash = crypto.createHash('sha256').digest();
    expect(helloHash).toEqual(rfc8448.helloHash);

    const { handshakeSecret } = rfc8448;
    expect(derive(handshakeSecret, 'c hs traffic', helloHash)).toEqual(handshake.client.secret);
    expect(derive(handshakeSecret, 's hs traffic', helloHash)).toEqual(handshake.server.secret);
    const derived = derive(handshakeSecret, 'derived', emptyHash);
    expect(derived).toEqual(rfc8448.derivedForMaster);
    const master = crypto.createHmac('sha256', derived).update(Buffer.alloc(32)).digest();
    expect(master).toEqual(rfc8448.masterSecret);
    for (const side of sides) {
      const secret = derive(master, `${side[0]!} ap traffic`, rfc8448.finishedHash);
      expect(secret).toEqual(application[side].secret);
    }
  });

  it.each(sides)('derives the write keys of the %s', (side) => {
    for (const { secret, key, iv } of [handshake[side], application[side]]) {
      expect(trafficKeys(AES128_GCM, secret)).toEqual({ key, iv });
    }
  });

  it("derives the key of the client's Finished", () => {
    const { secret, finishedKey, verifyData } = handshake.client;
    const key = hkdfExpandLabel('sha256', secret, 'finished', none, 32);
    expect(key).toEqual(finishedKey);
    const hmac = crypto.createHmac('sha256', key).update(rfc8448.finishedHash).digest();
    expect(hmac).toEqual(verifyData);
  });

  it.each([
    ['client', 0n],
    ['server', 1n],
  ] as const)('opens the records of the %s with what the kernel would get', (side, sequence) => {
    const keys = trafficKeys(AES128_GCM, application[side].secret);
    const material = kernelMaterial(AES128_GCM, keys, null, sequence);
    const [data, alert] = application[side].records;
    expect(openRecord(AES128_GCM, material, sequence, data)).toEqual({
      contentType: 23,
      plaintext: rfc8448.data,
    });
    expect(openRecord(AES128_GCM, material, sequence + 1n, alert)).toEqual({
      contentType: 21,
      plaintext: hex('0100'),
    });
    expect(
      sealRecord(AES128_GCM, material, sequence, { contentType: 23, plaintext: rfc8448.data }),
    ).toEqual(data);
  });
});

describe('TLS 1.2: the PRF', () => {
  it.each(prfVectors)('agrees with the published vector of $hash', (vector) => {
    const { hash, secret, label, seed, output } = vector;
    expect(prf(hash, secret, label, seed, output.length)).toEqual(output);
  });

  it("cuts NIST's key block in RFC 5246's order", () => {
    const { masterSecret, clientRandom, serverRandom, keyBlock: block } = keyExpansionVector;
    // AES-128-GCM: 16 + 16 bytes of keys, 4 + 4 of implicit IVs.
    expect(keyBlock(suite(0xc02f), masterSecret, clientRandom, serverRandom)).toEqual({
      client: { key: block.subarray(0, 16), iv: block.subarray(32, 36) },
      server: { key: block.subarray(16, 32), iv: block.subarray(36, 40) },
    });
    // ChaCha20-Poly1305: 32 + 32, 12 + 12.
    expect(keyBlock(suite(0xcca8), masterSecret, clientRandom, serverRandom)).toEqual({
      client: { key: block.subarray(0, 32), iv: block.subarray(64, 76) },
      server: { key: block.subarray(32, 64), iv: block.subarray(76, 88) },
    });
  });
});

describe('kernelMaterial', () => {
  const bytes = (length: number, first: number): Buffer =>
    Buffer.from(Array.from({ length }, (_, index) => first + index));
  const nonce = hex('e0e1e2e3e4e5e6e7');

  it.each([
    [0x1301, 'TLS 1.3 GCM', 16, 12, null, 'a0a1a2a3 a4a5a6a7a8a9aaab'],
    [0x1304, 'TLS 1.3 CCM', 16, 12, null, 'a0a1a2a3 a4a5a6a7a8a9aaab'],
    [0x1303, 'TLS 1.3 ChaCha20', 32, 12, null, 'a0a1a2a3a4a5a6a7a8a9aaab'],
    [0xc030, 'TLS 1.2 GCM', 32, 4, nonce, 'a0a1a2a3 e0e1e2e3e4e5e6e7'],
    [0xc09c, 'TLS 1.2 CCM', 16, 4, nonce, 'a0a1a2a3 e0e1e2e3e4e5e6e7'],
    [0xcca8, 'TLS 1.2 ChaCha20', 32, 12, null, 'a0a1a2a3a4a5a6a7a8a9aaab'],
  ] as const)('%i: lays out %s', (id, _, keyLength, ivLength, explicit, saltAndIv) => {
    const key = bytes(keyLength, 0);
    const iv = bytes(ivLength, 0xa0);
    const material = kernelMaterial(suite(id), { key, iv }, explicit, 0x0102030405060708n);
    const expected = Buffer.concat([key, hex(saltAndIv), hex('0102030405060708')]);
    expect(Buffer.from(material)).toEqual(expected);
  });

  it('has memory of its own, whatever the suite', () => {
    for (const row of cipherSuites) {
      const keys = { key: Buffer.alloc(row.keyLength), iv: Buffer.alloc(row.writeIvLength) };
      const explicit = row.explicitNonceLength > 0 ? nonce : null;
      const material = kernelMaterial(row, keys, explicit, 2n ** 64n - 1n);
      expect(material.length).toBe(row.keyLength + row.saltLength + row.ivLength + 8);
      expect(material.buffer.byteLength).toBe(material.length);
    }
  });

  const tls12 = suite(0xc02f);
  const keys12 = { key: bytes(16, 0), iv: bytes(4, 0) };
  const keys13 = { key: bytes(16, 0), iv: bytes(12, 0) };
  it.each([
    [
      'a key too short',
      () => kernelMaterial(AES128_GCM, { ...keys13, key: bytes(15, 0) }, null, 0n),
    ],
    ['an IV too short', () => kernelMaterial(AES128_GCM, keys12, null, 0n)],
    ['a nonce in TLS 1.3', () => kernelMaterial(AES128_GCM, keys13, nonce, 0n)],
    ['no nonce in TLS 1.2', () => kernelMaterial(tls12, keys12, null, 0n)],
    ['a nonce too short', () => kernelMaterial(tls12, keys12, bytes(7, 0), 0n)],
    ['a negative sequence', () => kernelMaterial(AES128_GCM, keys13, null, -1n)],
    ['a sequence of 65 bits', () => kernelMaterial(AES128_GCM, keys13, null, 1n << 64n)],
  ])('refuses %s', (_, make) => {
    expect(make).toThrow(RangeError);
  });
});

describe('nextExplicitNonce', () => {
  it.each([
    ['00000000000000ff', '0000000000000100'],
    ['00ffffffffffffff', '0100000000000000'],
    ['ffffffffffffffff', '0000000000000000'],
  ])('%s is followed by %s', (nonce, next) => {
    expect(nextExplicitNonce(hex(nonce))).toEqual(hex(next));
  });

  it('refuses what is no nonce', () => {
    expect(() => nextExplicitNonce(Buffer.alloc(4))).toThrow(RangeError);
  });
});

describe('secrets', () => {
  const { secret } = rfc8448.application.client;
  const { masterSecret, clientRandom, serverRandom } = keyExpansionVector;
  const both = ({ key, iv }: WriteKeys): Buffer[] => [key, iv];
  const uses: [string, () => Buffer[]][] = [
    ['trafficKeys', () => both(trafficKeys(AES128_GCM, secret))],
    ['nextTrafficSecret', () => [nextTrafficSecret(AES128_GCM, secret)]],
    ['prf', () => [prf('sha384', masterSecret, 'label', clientRandom, 200)]],
    [
      'keyBlock',
      () => {
        const keys = keyBlock(suite(0xc030), masterSecret, clientRandom, serverRandom);
        return [...both(keys.client), ...both(keys.server)];
      },
    ],
  ];

  it.each(uses)('%s wipes what it needed in between', (_, use) => {
    const alloc = vi.spyOn(Buffer, 'alloc');
    const results = use();
    const allocated = alloc.mock.results.map(({ value }) => value as Buffer);
    alloc.mockRestore();
    const between = [...digests, ...allocated.filter((bytes) => !results.includes(bytes))];
    expect(digests.length).toBeGreaterThan(0);
    expect(between.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
    expect(results.every((bytes) => bytes.some((byte) => byte !== 0))).toBe(true);
  });

  it.each(uses)('%s leaves its arguments and gives memory of its own', (_, use) => {
    const before = [secret, masterSecret, clientRandom, serverRandom].map((part) =>
      Buffer.from(part),
    );
    for (const result of use()) {
      expect(result.buffer.byteLength).toBe(result.length);
    }
    expect([secret, masterSecret, clientRandom, serverRandom]).toEqual(before);
  });
});

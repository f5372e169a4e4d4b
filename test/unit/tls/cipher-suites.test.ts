import { getCipherInfo } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import {
  cipherSuiteById,
  cipherSuiteByName,
  cipherSuites,
  KernelCipher,
} from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';

/** `TLS_CIPHER_*_{KEY,SALT,IV,TAG}_SIZE` of `<linux/tls.h>`. */
const kernelSizes = {
  [KernelCipher.aesGcm128]: { keyLength: 16, saltLength: 4, ivLength: 8, tagLength: 16 },
  [KernelCipher.aesGcm256]: { keyLength: 32, saltLength: 4, ivLength: 8, tagLength: 16 },
  [KernelCipher.aesCcm128]: { keyLength: 16, saltLength: 4, ivLength: 8, tagLength: 16 },
  [KernelCipher.chacha20Poly1305]: { keyLength: 32, saltLength: 0, ivLength: 12, tagLength: 16 },
  [KernelCipher.ariaGcm128]: { keyLength: 16, saltLength: 4, ivLength: 8, tagLength: 16 },
  [KernelCipher.ariaGcm256]: { keyLength: 32, saltLength: 4, ivLength: 8, tagLength: 16 },
};

// That ids, names, hashes and overheads are right is proved by negotiated-suites.test.ts.
describe('the table of cipher suites', () => {
  it('is frozen, rows too', () => {
    expect([cipherSuites, ...cipherSuites].every((part) => Object.isFrozen(part))).toBe(true);
  });

  it('has every id and every name once', () => {
    for (const key of ['id', 'name', 'standardName'] as const) {
      expect(new Set(cipherSuites.map((suite) => suite[key])).size).toBe(cipherSuites.length);
    }
  });

  it("has the kernel structures' sizes", () => {
    for (const suite of cipherSuites) expect(suite).toMatchObject(kernelSizes[suite.kernelCipher]);
  });

  it('names algorithms that node:crypto has, with the same key length', () => {
    for (const suite of cipherSuites) {
      expect(getCipherInfo(suite.algorithm)?.keyLength, suite.name).toBe(suite.keyLength);
    }
  });

  it.each([
    ['TLS 1.3', ProtocolVersion.TLS13, 'TLS_AES_128_GCM_SHA256', 12, 0, 22],
    ['TLS 1.3 ChaCha20', ProtocolVersion.TLS13, 'TLS_CHACHA20_POLY1305_SHA256', 12, 0, 22],
    ['TLS 1.2 GCM', ProtocolVersion.TLS12, 'ECDHE-RSA-AES128-GCM-SHA256', 4, 8, 29],
    ['TLS 1.2 CCM', ProtocolVersion.TLS12, 'AES128-CCM', 4, 8, 29],
    ['TLS 1.2 ChaCha20', ProtocolVersion.TLS12, 'PSK-CHACHA20-POLY1305', 12, 0, 21],
  ] as const)('%s: IV, explicit nonce and overhead', (_, version, name, iv, nonce, overhead) => {
    expect(cipherSuiteByName(name, version)).toMatchObject({
      writeIvLength: iv,
      explicitNonceLength: nonce,
      recordOverhead: overhead,
    });
  });

  it('answers by id and by name', () => {
    for (const suite of cipherSuites) {
      expect(cipherSuiteById(suite.id)).toBe(suite);
      expect(cipherSuiteByName(suite.name, suite.version)).toBe(suite);
    }
  });

  it('knows no suite under a version that is not its own', () => {
    expect(cipherSuiteByName('AES128-GCM-SHA256', ProtocolVersion.TLS13)).toBeUndefined();
    expect(cipherSuiteByName('TLS_AES_128_GCM_SHA256', ProtocolVersion.TLS12)).toBeUndefined();
  });

  it.each([
    ['CCM with an 8-byte tag', 0x1305],
    ['AES-256-CCM', 0xc09d],
    ['CBC', 0xc027],
    ['no suite', 0],
  ])('has no row for %s', (_, id) => {
    expect(cipherSuiteById(id)).toBeUndefined();
  });
});

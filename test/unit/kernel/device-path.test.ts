import { getCiphers } from 'node:tls';
import { expect, it } from 'vitest';
import { deviceOptions } from '../../../lib/index.js';
import { deviceTakes } from '../../../lib/kernel/device-path.js';
import { cipherSuites } from '../../../lib/tls/cipher-suites.js';

it('names ciphers that OpenSSL has and a card can take, the shorter key first', () => {
  const names = deviceOptions.ciphers.split(':');
  expect(names).toEqual([
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES256-GCM-SHA384',
  ]);
  for (const name of names) {
    expect(getCiphers()).toContain(name.toLowerCase());
    expect(deviceTakes(cipherSuites.find((suite) => suite.name === name)!)).toBe(true);
  }
});

it('takes no TLS 1.3, and of TLS 1.2 nothing but AES-GCM', () => {
  const taken = cipherSuites.filter(deviceTakes).map(({ algorithm }) => algorithm);
  expect([...new Set(taken)].sort()).toEqual(['aes-128-gcm', 'aes-256-gcm']);
  expect(deviceTakes(cipherSuites.find(({ name }) => name === 'TLS_AES_128_GCM_SHA256')!)).toBe(
    false,
  );
});

import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { KtlsError } from '../../../lib/errors.js';
import { type HandshakeFacts, type Plan, plan } from '../../../lib/kernel/plan.js';
import type { CipherSuite } from '../../../lib/tls/cipher-suites.js';
import { KeylogSecrets } from '../../../lib/tls/keylog.js';

const recordLimitRefusal = vi.hoisted(() => vi.fn<() => KtlsError | null>());
vi.mock('../../../lib/kernel/features.js', () => ({ recordLimitRefusal }));
const cipherRefusal = vi.hoisted(() => vi.fn<(suite: CipherSuite) => KtlsError | null>());
vi.mock('../../../lib/kernel/probe.js', () => ({ cipherRefusal }));

const random = randomBytes(32);
const line = (label: string, length: number): Buffer =>
  Buffer.from(`${label} ${random.toString('hex')} ${randomBytes(length).toString('hex')}`);

function secrets(...lines: Buffer[]): KeylogSecrets {
  const collected = new KeylogSecrets();
  for (const each of lines) collected.add(each);
  return collected;
}

const tls13 = (): HandshakeFacts => ({
  isServer: false,
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  secrets: secrets(line('CLIENT_TRAFFIC_SECRET_0', 32), line('SERVER_TRAFFIC_SECRET_0', 32)),
  serverRandom: random,
  receiveSequence: 0n,
  fragmentLimit: null,
});
const tls12 = (): HandshakeFacts => ({
  ...tls13(),
  protocol: 'TLSv1.2',
  cipher: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  secrets: secrets(line('CLIENT_RANDOM', 48)),
  receiveSequence: 1n,
});

beforeEach(() => {
  cipherRefusal.mockReset().mockReturnValue(null);
  recordLimitRefusal.mockReset().mockReturnValue(null);
});

function planned(facts: HandshakeFacts): Plan {
  const result = plan(facts);
  if (result instanceof KtlsError) throw result;
  return result;
}

describe('plan', () => {
  it.each([
    ['TLS 1.3', tls13],
    ['TLS 1.2', tls12],
  ])('accepts %s with a cipher that the kernel takes', (_name, facts) => {
    const { suite, receiveSequence } = planned(facts());
    expect(suite.name).toBe(facts().cipher);
    expect(receiveSequence).toBe(facts().receiveSequence);
  });

  const refusals: [name: string, facts: () => HandshakeFacts, code: string][] = [
    ['TLS 1.1', () => ({ ...tls12(), protocol: 'TLSv1.1' }), 'ERR_KTLS_VERSION'],
    ['no version', () => ({ ...tls12(), protocol: null }), 'ERR_KTLS_VERSION'],
    [
      'a cipher without AEAD',
      () => ({ ...tls12(), cipher: 'ECDHE-ECDSA-AES256-SHA' }),
      'ERR_KTLS_CIPHER',
    ],
    [
      'a cipher of the other version',
      () => ({ ...tls12(), cipher: 'TLS_AES_128_GCM_SHA256' }),
      'ERR_KTLS_CIPHER',
    ],
    ['no secrets in TLS 1.3', () => ({ ...tls13(), secrets: secrets() }), 'ERR_KTLS_SECRETS'],
    [
      "only the client's secret",
      () => ({ ...tls13(), secrets: secrets(line('CLIENT_TRAFFIC_SECRET_0', 32)) }),
      'ERR_KTLS_SECRETS',
    ],
    [
      "only the server's secret",
      () => ({ ...tls13(), secrets: secrets(line('SERVER_TRAFFIC_SECRET_0', 32)) }),
      'ERR_KTLS_SECRETS',
    ],
    ['no secrets in TLS 1.2', () => ({ ...tls12(), secrets: secrets() }), 'ERR_KTLS_SECRETS'],
    ['no server random', () => ({ ...tls12(), serverRandom: null }), 'ERR_KTLS_SECRETS'],
  ];
  for (const [name, facts, code] of refusals) {
    it(`refuses ${name}`, () => {
      expect(plan(facts())).toMatchObject({ name: 'KtlsError', code });
    });
  }

  it('refuses a cipher for the reason that the kernel has', () => {
    const reason = new KtlsError('ERR_KTLS_RESOURCES', 'probe EMFILE');
    cipherRefusal.mockReturnValue(reason);
    expect(plan(tls13())).toBe(reason);
  });

  it('refuses short fragments for the reason that the kernel has', () => {
    const reason = new KtlsError('ERR_KTLS_FRAGMENT');
    recordLimitRefusal.mockReturnValue(reason);
    expect(plan({ ...tls12(), fragmentLimit: 512 })).toBe(reason);
    expect(planned(tls12()).fragmentLimit).toBe(null);
  });

  it('passes on how short they are where the kernel can', () => {
    expect(planned({ ...tls12(), fragmentLimit: 512 }).fragmentLimit).toBe(512);
  });

  it('asks the kernel for exactly the negotiated suite', () => {
    const { suite } = planned(tls12());
    expect(cipherRefusal.mock.calls).toEqual([[suite]]);
    expect(suite).toMatchObject({ name: tls12().cipher, version: 0x0303 });
  });

  it.each([
    ['TLS 1.3', tls13],
    ['TLS 1.2', tls12],
  ])("gives one side's sending keys to the other for receiving: %s", (_name, facts) => {
    const same = facts();
    const client = planned({ ...same, isServer: false }).deriveKeys();
    const server = planned({ ...same, isServer: true }).deriveKeys();
    expect(client.send).toEqual(server.receive);
    expect(client.receive).toEqual(server.send);
    expect(client.send).not.toEqual(client.receive);
  });

  it('wipes every key that it derived', () => {
    const keys = planned(tls12()).deriveKeys();
    keys.wipe();
    for (const { key, iv } of [keys.send, keys.receive]) {
      expect([...key, ...iv].every((byte) => byte === 0)).toBe(true);
    }
  });
});

import { describe, expect, it } from 'vitest';

import { KeylogSecrets } from '../../../lib/tls/keylog.js';
import { Random } from './random.js';

const clientRandom = Buffer.alloc(32, 0xc1);
const secret32 = Buffer.from(Array.from({ length: 32 }, (_, index) => index * 7));
const secret48 = Buffer.from(Array.from({ length: 48 }, (_, index) => 255 - index));

const line = (label: string, secret: Buffer, random = clientRandom): Buffer =>
  Buffer.from(`${label} ${random.toString('hex')} ${secret.toString('hex')}\n`);

const tls13Labels = [
  ['CLIENT_TRAFFIC_SECRET_0', 'clientTrafficSecret'],
  ['SERVER_TRAFFIC_SECRET_0', 'serverTrafficSecret'],
  ['EXPORTER_SECRET', 'exporterSecret'],
] as const;

const nothing = {
  clientRandom: null,
  masterSecret: null,
  clientTrafficSecret: null,
  serverTrafficSecret: null,
  exporterSecret: null,
};

describe('KeylogSecrets', () => {
  it('takes the master secret of TLS 1.2 and the client random', () => {
    const secrets = new KeylogSecrets();
    expect(secrets.add(line('CLIENT_RANDOM', secret48))).toBe('CLIENT_RANDOM');
    expect(secrets).toMatchObject({ ...nothing, clientRandom, masterSecret: secret48 });
  });

  it.each(tls13Labels)('takes %s, of either hash', (label, property) => {
    for (const secret of [secret32, secret48]) {
      const secrets = new KeylogSecrets();
      expect(secrets.add(line(label, secret))).toBe(label);
      expect(secrets).toMatchObject({ ...nothing, clientRandom, [property]: secret });
    }
  });

  it('does without the line feed, and reads capital digits', () => {
    const secrets = new KeylogSecrets();
    const capitals = `EXPORTER_SECRET ${'C1'.repeat(32)} ${secret32.toString('hex').toUpperCase()}`;
    expect(secrets.add(Buffer.from(capitals))).toBe('EXPORTER_SECRET');
    expect(secrets).toMatchObject({ clientRandom, exporterSecret: secret32 });
  });

  it('reads a view into a larger buffer', () => {
    const bytes = line('EXPORTER_SECRET', secret32);
    const larger = Buffer.concat([Buffer.from('xyz'), bytes, Buffer.from('abc')]);
    const secrets = new KeylogSecrets();
    secrets.add(new Uint8Array(larger.buffer, larger.byteOffset + 3, bytes.length));
    expect(secrets.exporterSecret).toEqual(secret32);
  });

  it.each([
    'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
    'SERVER_HANDSHAKE_TRAFFIC_SECRET',
    'CLIENT_EARLY_TRAFFIC_SECRET',
    'EARLY_EXPORTER_SECRET',
    'CLIENT_TRAFFIC_SECRET_N',
    'CLIENT_TRAFFIC_SECRET_00',
    'EXPORTER_SECRE',
    '# CLIENT_RANDOM',
  ])('ignores %s', (label) => {
    const secrets = new KeylogSecrets();
    expect(secrets.add(line(label, secret48))).toBeNull();
    expect(secrets).toMatchObject(nothing);
  });

  it.each([
    ['no digits', Buffer.from('CLIENT_RANDOM ')],
    ['no secret', Buffer.from(`EXPORTER_SECRET ${'c1'.repeat(32)}`)],
    ['an empty secret', line('EXPORTER_SECRET', Buffer.alloc(0))],
    ['a client random of 31 bytes', line('EXPORTER_SECRET', secret32, Buffer.alloc(31))],
    ['a master secret of 32 bytes', line('CLIENT_RANDOM', secret32)],
    ['a traffic secret of 33 bytes', line('EXPORTER_SECRET', Buffer.alloc(33))],
    [
      'an odd number of digits',
      Buffer.from(`EXPORTER_SECRET ${'c1'.repeat(32)} ${'a'.repeat(63)}`),
    ],
    ['digits that are none', Buffer.from(`EXPORTER_SECRET ${'c1'.repeat(32)} ${'g'.repeat(64)}`)],
    ['two spaces', Buffer.from(`EXPORTER_SECRET  ${'c1'.repeat(32)} ${'a'.repeat(64)}`)],
    ['something behind', Buffer.from(`EXPORTER_SECRET ${'c1'.repeat(32)} ${'a'.repeat(64)} x`)],
  ])('refuses a line with %s, and keeps what it has', (_, bad) => {
    const secrets = new KeylogSecrets();
    secrets.add(line('EXPORTER_SECRET', secret48));
    expect(secrets.add(bad)).toBeNull();
    expect(secrets).toMatchObject({ ...nothing, clientRandom, exporterSecret: secret48 });
  });

  it('leaves the line as it is, and keeps no part of it', () => {
    const bytes = line('EXPORTER_SECRET', secret32);
    const before = Buffer.from(bytes);
    const secrets = new KeylogSecrets();
    secrets.add(bytes);
    expect(bytes).toEqual(before);
    bytes.fill(0);
    expect(secrets.exporterSecret).toEqual(secret32);
  });

  it('never has a secret in the shared Buffer pool', () => {
    const secrets = new KeylogSecrets();
    secrets.add(line('EXPORTER_SECRET', secret32));
    expect(secrets.exporterSecret?.buffer.byteLength).toBe(32);
  });

  it('keeps the first of two secrets, and says that there were two', () => {
    const secrets = new KeylogSecrets();
    secrets.add(line('CLIENT_RANDOM', secret48));
    const [secret, random] = [Buffer.from(secrets.masterSecret!), secrets.clientRandom];
    expect(secrets.repeated).toBe(false);
    expect(secrets.add(line('CLIENT_RANDOM', Buffer.alloc(48, 1), Buffer.alloc(32, 2)))).toBeNull();
    expect(secrets.masterSecret).toEqual(secret);
    expect(secrets.clientRandom).toBe(random);
    expect(secrets.repeated).toBe(true);
  });

  it('wipes everything it ever handed out, and takes nothing after that', () => {
    const secrets = new KeylogSecrets();
    secrets.add(line('CLIENT_RANDOM', secret48));
    for (const [label] of tls13Labels) secrets.add(line(label, secret32));
    const handedOut = [
      secrets.clientRandom!,
      secrets.masterSecret!,
      ...tls13Labels.map(([, property]) => secrets[property]!),
    ];
    secrets.wipe();
    expect(handedOut.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
    expect(secrets).toMatchObject(nothing);
    expect(secrets.add(line('CLIENT_RANDOM', secret48))).toBeNull();
    expect(secrets).toMatchObject(nothing);
    secrets.wipe();
  });

  it('survives garbage and damaged lines', () => {
    const random = new Random(5);
    const labels = ['CLIENT_RANDOM', ...tls13Labels.map(([label]) => label)];
    for (let round = 0; round < 1000; round++) {
      const secrets = new KeylogSecrets();
      const bytes = line(labels[round % labels.length]!, secret48);
      for (let damage = random.below(4); damage >= 0; damage--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      secrets.add(bytes.subarray(0, random.below(bytes.length + 1)));
      secrets.add(random.bytes(random.below(300)));
    }
  });
});

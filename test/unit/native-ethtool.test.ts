/** SIOCETHTOOL on this host's own interfaces: it reads, and nothing else. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { interfaceFacts } from '../../lib/kernel/ethtool.js';
import { native } from '../support/native.js';

const loopback = Number(readFileSync('/sys/class/net/lo/ifindex', 'latin1'));
const { EPERM, ENODEV, EINVAL, EFAULT } = constants.errno;

const request = (size: number, ...words: number[]): Uint8Array => {
  const bytes = new Uint8Array(size);
  bytes.set(new Uint8Array(Uint32Array.from(words).buffer));
  return bytes;
};

describe('ethtool', () => {
  it('reads the flags of loopback', () => {
    const facts = interfaceFacts('lo')!;
    expect(facts.features['tls-hw-tx-offload']).toEqual({ active: false, changeable: false });
    // dev->features of drivers/net/loopback.c
    expect(facts.features['loopback']).toEqual({ active: true, changeable: false });
    expect(facts.features['tx-scatter-gather']!.active).toBe(true);
  });

  it('knows no interface that is not there', () => {
    expect(interfaceFacts('nope0')).toBeNull();
    expect(interfaceFacts('../../../etc')).toBeNull();
    expect(native().ethtool(0x7fffffff, request(196, 0x3))).toBe(-ENODEV);
  });

  // SSET, NWAY_RST, SPFLAGS, SFEATURES, SCHANNELS, FLASHDEV, RESET
  it.each([0x2, 0x9, 0x28, 0x3b, 0x3d, 0x33, 0x34, 0xffffffff])(
    'refuses command 0x%s, which would change something',
    (command) => {
      expect(native().ethtool(loopback, request(256, command))).toBe(-EPERM);
    },
  );

  it('writes nowhere but into the request, however long the answer', () => {
    const features = 4;
    const around = new Uint8Array(4096).fill(0xa5);
    const short = around.subarray(1024, 1024 + 12 + 32);
    short.set(request(short.length, 0x1b, features, 1));
    // Kernels that look at the length that they are told answer with nothing instead.
    expect([0, -EFAULT]).toContain(native().ethtool(loopback, short));
    const rest = [...around.subarray(0, 1024), ...around.subarray(1024 + short.length)];
    expect(rest.every((byte) => byte === 0xa5)).toBe(true);
  });

  it('refuses arguments that do not fit', () => {
    expect(native().ethtool(loopback, new Uint8Array(3))).toBe(-EINVAL);
    const binding = native() as unknown as Record<'ethtool', (...values: unknown[]) => unknown>;
    const code = expect.objectContaining({ code: 'ERR_KTLS_NATIVE_ARGUMENT' }) as Error;
    for (const values of [[], [0, new Uint8Array(8)], [1.5, new Uint8Array(8)], [1, 'x'], ['lo']]) {
      expect(() => binding.ethtool(...values)).toThrow(code);
    }
  });
});

/** What is concluded from the kernel's answers, whichever they are. */
import { constants } from 'node:os';
import { beforeEach, expect, it, vi } from 'vitest';
import type { KernelCipher as Cipher } from '../../../lib/tls/cipher-suites.js';
import { KernelCipher } from '../../../lib/tls/cipher-suites.js';

const { EBUSY, EINVAL, EMFILE, ENOENT } = constants.errno;
const { aesGcm128, aesGcm256, aesCcm128, chacha20Poly1305 } = KernelCipher;

const probeRekey = vi.hoisted(() => vi.fn<(version: number, cipher: Cipher) => number>());
vi.mock('../../../lib/kernel/binding.js', () => ({ loadBinding: () => ({ probeRekey }) }));

beforeEach(() => {
  vi.resetModules();
  probeRekey.mockReset();
});

it.each([
  ['has none of the ciphers', -ENOENT, {}, false],
  ['knows none of the ciphers', -EINVAL, {}, false],
  ['changes the keys of AES-128-GCM', -ENOENT, { [aesGcm128]: 0 }, true],
  ['changes those of AES-256-GCM alone', -ENOENT, { [aesGcm256]: 0 }, true],
  ['changes those of ChaCha20-Poly1305 alone', -EINVAL, { [chacha20Poly1305]: 0 }, true],
  ['changes those of AES-128-CCM alone', -ENOENT, { [aesCcm128]: 0 }, true],
  ['cannot be asked about AES-128-GCM', -ENOENT, { [aesGcm128]: -EMFILE }, true],
  ['cannot be asked about another', -ENOENT, { [chacha20Poly1305]: -EMFILE }, true],
  ['changes no keys', -EBUSY, {}, false],
] satisfies [string, number, Record<number, number>, boolean][])(
  'a kernel that %s',
  async (_, others, answers: Record<number, number>, mayPark) => {
    probeRekey.mockImplementation((_version, cipher) => answers[cipher] ?? others);
    const { kernelMayParkRecords } = await import('../../../lib/kernel/probe.js');
    expect(kernelMayParkRecords()).toBe(mayPark);
  },
);

it('is asked about one cipher where that tells all, and about each once', async () => {
  const { kernelMayParkRecords } = await import('../../../lib/kernel/probe.js');
  probeRekey.mockReturnValue(-EBUSY);
  for (let times = 0; times < 2; times++) kernelMayParkRecords();
  expect(probeRekey).toHaveBeenCalledOnce();

  vi.resetModules();
  const again = await import('../../../lib/kernel/probe.js');
  probeRekey.mockReset().mockReturnValue(-ENOENT);
  for (let times = 0; times < 2; times++) again.kernelMayParkRecords();
  const asked = probeRekey.mock.calls.map(([, cipher]) => cipher);
  expect(new Set(asked).size).toBe(asked.length);
});

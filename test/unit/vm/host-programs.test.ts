/** Where the libraries of unpacked packages are. */
import { expect, it } from 'vitest';
import { debianTriplet } from '../../../vm/host-programs.js';

it.each([
  ['x64', 'x86_64-linux-gnu'],
  ['arm64', 'aarch64-linux-gnu'],
] as const)('are, on %s, in %s', (architecture, triplet) => {
  expect(debianTriplet(architecture)).toBe(triplet);
});

it('are nowhere where Debian has no port', () => {
  expect(() => debianTriplet('mips')).toThrow(
    expect.objectContaining({ code: 'ERR_KTLS_VM_UNSUPPORTED_HOST' }) as Error,
  );
});

/** Guards for tests that need kernel TLS: they skip where it is absent, unless it was promised. */
import { describe } from 'vitest';
import { probe } from '../../lib/kernel/probe.js';

/**
 * `describe` for suites that need kernel TLS. With `KTLS_EXPECTED=1` (the VM, CI) a kernel without it is
 * a failure and not a skip.
 */
export function describeKernel(name: string, body: () => void): void {
  const support = probe();
  if (!support.available && process.env['KTLS_EXPECTED'] === '1') {
    describe(name, () => {
      throw new Error(`kernel TLS was promised: ${support.reason?.message ?? 'unknown reason'}`);
    });
    return;
  }
  describe.skipIf(!support.available)(name, body);
}

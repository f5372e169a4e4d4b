/** Guards for tests that need kernel TLS: they skip where it is absent, unless it was promised. */
import { describe } from 'vitest';
import { kernelRefusal } from '../../lib/kernel/probe.js';

/**
 * `describe` for suites that need kernel TLS. With `KTLS_EXPECTED=1` (the VM, CI) a kernel without it is
 * a failure and not a skip.
 */
export function describeKernel(name: string, body: () => void): void {
  const refusal = kernelRefusal();
  if (refusal !== null && process.env['KTLS_EXPECTED'] === '1') {
    describe(name, () => {
      throw new Error(`kernel TLS was promised: ${refusal.message}`);
    });
    return;
  }
  describe.skipIf(refusal !== null)(name, body);
}

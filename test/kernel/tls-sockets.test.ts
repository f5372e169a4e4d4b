/** What the kernel knows of all sockets under kernel TLS (`sock_diag(7)`). */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tlsSockets } from '../../lib/kernel/tls-sockets.js';
import { describeKernel } from '../support/kernel.js';

const isLoaded = (): boolean => /^tcp_diag /m.test(readFileSync('/proc/modules', 'latin1'));

// Modules are changed only where that is nobody's.
describe.skipIf(process.env['KTLS_VM'] === undefined)('in a machine of its own', () => {
  describeKernel('the sockets under kernel TLS', () => {
    it('are not known where the kernel has no tcp_diag, which is not the same as none', () => {
      expect(Array.isArray(tlsSockets())).toBe(true);
      expect(isLoaded()).toBe(true);
      const rule = '/run/modprobe.d/ktls-test.conf';
      mkdirSync('/run/modprobe.d', { recursive: true });
      writeFileSync(rule, 'install tcp_diag /bin/false\n');
      try {
        execFileSync('rmmod', ['tcp_diag']);
        expect(tlsSockets()).toBeNull();
        expect(isLoaded()).toBe(false);
      } finally {
        rmSync(rule);
      }
      expect(Array.isArray(tlsSockets())).toBe(true);
    });
  });
});

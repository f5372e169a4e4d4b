/** `ktls doctor` from start to end: on this kernel, with a card that has no TLS, and without the module. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { doctor, runCommand, verdicts } from '../support/doctor.js';
import { describeKernel } from '../support/kernel.js';

/** Modules and interfaces are changed only where that is nobody's. */
const inVm = process.env['KTLS_VM'] !== undefined;

describeKernel('the doctor', () => {
  it('passes, with two real connections', async () => {
    const report = await doctor();
    expect(report.verdict).not.toBe('fail');
    expect(verdicts(report)).toMatchObject({
      'kernel.tls': 'pass',
      'kernel.tls12': 'pass',
      'kernel.tls13': 'pass',
      'module.loaded': 'pass',
      'node.addon': 'pass',
      'live.tls12': 'pass',
      'live.tls13': 'pass',
      'live.device': 'info',
    });
    for (const check of ['live.tls12', 'live.tls13']) {
      expect(report.findings.get(check)!.why).toMatch(/1048576 bytes .* equal; .*TlsTxSw \+2/);
    }
  });

  it('says so in words, and looks only if told to', async () => {
    const { code, stdout } = await runCommand(['doctor', '--no-live']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Kernel\n {2}pass {2}Kernel TLS: Linux \d/);
    expect(stdout).toMatch(/^\d+ pass, \d+ info, \d+ warn, 0 fail$/m);
    expect(stdout).not.toContain('A real connection');
  });

  describe.skipIf(!inVm)('with an interface that has no TLS', () => {
    it('warns that it is fixed', async () => {
      execFileSync('ip', ['link', 'add', 'dummy7', 'type', 'dummy']);
      try {
        const { findings } = await doctor(['--no-live', '--iface', 'dummy7']);
        for (const check of ['interface.tls-hw-tx-offload', 'interface.tls-hw-rx-offload']) {
          expect(findings.get(check)).toMatchObject({ verdict: 'warn' });
          expect(findings.get(check)!.why).toContain('[fixed]');
        }
        expect(findings.get('interface.driver')!.why).toBe('dummy.');
      } finally {
        execFileSync('ip', ['link', 'del', 'dummy7']);
      }
    });

    it('fails for one that is not there', async () => {
      const { verdict, findings } = await doctor(['--no-live', '--iface', 'nope7']);
      expect(verdict).toBe('fail');
      expect(findings.get('interface.exists')!.why).toContain('There is no interface nope7');
    });
  });

  describe.skipIf(!inVm)('without the module', () => {
    const rule = '/run/modprobe.d/ktls-test.conf';
    /** Root without the right to have a module loaded. */
    const unprivileged = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];

    const unload = (): Promise<void> =>
      // Connections of the tests before may not be over.
      expect
        .poll(
          () => {
            try {
              execFileSync('rmmod', ['tls'], { stdio: 'pipe' });
              return true;
            } catch {
              return false;
            }
          },
          { timeout: 60_000 },
        )
        .toBe(true);

    afterEach(() => {
      rmSync(rule, { force: true });
      execFileSync('modprobe', ['tls']);
    });

    it('fails for a user who cannot have it loaded', async () => {
      await unload();
      const report = await doctor([], unprivileged);
      expect(report.verdict).toBe('fail');
      expect(report.findings.get('kernel.tls')!.why).toContain('ERR_KTLS_MODULE');
      expect(report.findings.get('module.loaded')).toMatchObject({
        verdict: 'fail',
        fix: 'modprobe tls',
      });
      expect(report.findings.get('module.autoload')!.why).toContain('CAP_NET_ADMIN');
      expect(report.findings.has('live.tls12')).toBe(false);
      const { code, stdout } = await runCommand(['doctor'], unprivileged);
      expect(code).toBe(1);
      expect(stdout).toMatch(/^ {2}FAIL {2}The tls module: .*\n( {8}.*\n)* {8}\$ modprobe tls$/m);
    });

    it('has the kernel load it for one who can', async () => {
      await unload();
      expect(verdicts(await doctor())).toMatchObject({ 'module.loaded': 'pass' });
    });

    it('names the rule that keeps it from being loaded, and mends it', async () => {
      execFileSync('mkdir', ['-p', '/run/modprobe.d']);
      writeFileSync(rule, 'install tls /bin/false\n');
      await unload();
      const report = await doctor();
      expect(report.verdict).toBe('fail');
      const { verdict, why, fix } = report.findings.get('module.autoload')!;
      expect(verdict).toBe('fail');
      expect(why).toBe(`${rule} says "install tls /bin/false".`);
      const { code, stdout } = await runCommand(['doctor']);
      expect(code).toBe(1);
      expect(stdout).toContain(`\n        $ ${fix!}\n`);
      execFileSync('sh', ['-c', fix!]);
      expect((await doctor()).verdict).not.toBe('fail');
    });
  });
});

/** Which known holes the doctor says that a kernel has, by its version. */
import { describe, expect, it } from 'vitest';
import { holes } from '../../../lib/doctor/known-holes.js';
import { changed, findings, machine } from '../../support/machines.js';

describe('known holes', () => {
  const verdictOn = (release: string, version = `Linux version ${release}`) =>
    findings(
      changed(machine('debian-6.12'), {
        process: { release },
        files: { '/proc/version': version },
      }),
    ).get('bugs.cve')!;

  it('names those that are open in an old kernel of a line it follows', () => {
    const { verdict, why } = verdictOn('6.12.43');
    expect(verdict).toBe('warn');
    expect(why).toContain('CVE-2025-39946');
    expect(why).not.toContain('CVE-2025-38616');
  });

  it.each([
    ['5.10.60', 'CVE-2021-47496', 'CVE-2021-47131'],
    ['6.1.60', 'CVE-2024-0646', 'CVE-2023-0461'],
    ['6.1.177', 'CVE-2026-93824', 'CVE-2026-64047'],
    ['6.12.90', 'CVE-2026-64047', 'CVE-2026-31533'],
  ])('knows of %s that it has %s and not %s', (release, open, fixed) => {
    const { verdict, why } = verdictOn(release);
    expect(verdict).toBe('warn');
    expect(why).toContain(open);
    expect(why).not.toContain(fixed);
  });

  it('does not accuse a line of what it never had', () => {
    expect(verdictOn('6.1.10').why).not.toContain('CVE-2024-35841');
  });

  it('are each listed once, with fixes of lines that are older than the fix', () => {
    const ids = holes.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, mainline, fixed } of holes) {
      expect(id).toMatch(/^CVE-20\d\d-\d{4,}$/);
      for (const line of Object.keys(fixed)) {
        const [major, minor] = line.split('.').map(Number);
        expect(major! * 100 + minor!, `${id} in ${line}`).toBeLessThan(
          mainline[0] * 100 + mainline[1],
        );
      }
    }
  });

  it("reads Debian's version from where Debian has it", () => {
    const text = 'Linux version 6.1.0-56-cloud-amd64 #1 SMP Debian 6.1.150-1 (2025-09-01)';
    expect(verdictOn('6.1.0-56-cloud-amd64', text).why).toMatch(
      /^6\.1\.150 is older .*CVE-2025-39682/,
    );
  });

  it('does not judge by number what the number does not tell', () => {
    expect(verdictOn('6.8.0-31-generic', 'Linux version 6.8.0-31-generic (Ubuntu)').verdict).toBe(
      'info',
    );
    expect(verdictOn('5.14.0-503.el9.x86_64').verdict).toBe('info');
    expect(verdictOn('6.18.44').verdict).toBe('info');
  });

  it('passes a kernel newer than every fix', () => {
    expect(verdictOn('7.3.4').verdict).toBe('pass');
  });
});

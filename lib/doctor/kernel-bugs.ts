/**
 * Known holes of net/tls that the running kernel may have. Where the number proves nothing (a line of
 * stable kernels that the table does not follow, a distribution that puts fixes into older numbers) the
 * answer says so.
 */
import { type Finding, info, pass, warn } from './finding.js';
import { kernelConfig } from './kernel-config.js';
import { type Hole, type Line, holes } from './known-holes.js';
import { type System, type Version, kernelVersion } from './system.js';

/** Kernels whose version is that of kernel.org's stable releases. */
function hasStableVersion(system: System): boolean {
  const text = system.read('/proc/version') ?? '';
  return !/Ubuntu|Red Hat|\.el\d|SUSE|amzn|Oracle/i.test(text + system.process.release);
}

export function checkKernelBugs(system: System): Finding[] {
  const check = 'bugs.cve';
  const title = 'Known holes in net/tls';
  const version = kernelVersion(system);
  if (version[0] === 0 || kernelConfig(system)?.('CONFIG_TLS') === 'n') return [];
  const shown = version.join('.');
  const open = holes.filter((each) => isFixed(each, version) === 'no');
  const unknown = holes.filter((each) => isFixed(each, version) === 'unknown');
  const names = (list: readonly Hole[]): string =>
    list.map(({ id, what }) => `${id} (${what})`).join('; ');
  if (open.length + unknown.length === 0) {
    return [pass(check, title, `None of the ${holes.length} listed ones is in ${shown}.`)];
  }
  if (open.length === 0 || !hasStableVersion(system)) {
    return [
      info(
        check,
        title,
        `The number ${shown} does not tell whether it has the fixes of these; its distributor's security tracker does: ${names([...open, ...unknown])}.`,
      ),
    ];
  }
  return [
    warn(
      check,
      title,
      `${shown} is older than the fixes of ${open.length}: ${names(open)}.`,
      'apt-get update && apt-get dist-upgrade # and reboot; or what your distribution has instead',
    ),
  ];
}

type Fixed = 'yes' | 'no' | 'unknown';

function isFixed({ fixed, mainline }: Hole, [major, minor, patch]: Version): Fixed {
  if (major > mainline[0] || (major === mainline[0] && minor >= mainline[1])) return 'yes';
  const line = fixed[`${major}.${minor}` as Line];
  if (line === undefined) return 'unknown';
  return patch >= line ? 'yes' : 'no';
}

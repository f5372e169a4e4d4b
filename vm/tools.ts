import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { hostEnvironment, run } from './command.js';
import { VmError } from './errors.js';

/** Host programs and their Debian packages. QEMU, virtiofsd and busybox come through the cache. */
const packages = {
  'dpkg-deb': 'dpkg',
  cpio: 'cpio',
  depmod: 'kmod',
  flock: 'util-linux',
  lz4: 'lz4',
  modprobe: 'kmod',
  setpriv: 'util-linux',
  xz: 'xz-utils',
  zstd: 'zstd',
} as const;

export type Tool = keyof typeof packages;

/**
 * Where a program is on the host, as its PATH and the sbin directories have it; a path is taken as it is.
 */
export function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined;
  return (hostEnvironment['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** `requirePackages`, of what the harness itself needs. */
export async function requireTools(tools: readonly Tool[]): Promise<void> {
  await requirePackages(Object.fromEntries(tools.map((tool) => [tool, packages[tool]])));
}

/**
 * Makes sure that host programs are there: root gets the missing ones from apt, others the
 * command to run.
 * @param needed the Debian package of each program, or of each file that is named by its path
 * @throws VmError ERR_KTLS_VM_TOOL_MISSING
 */
export async function requirePackages(needed: Readonly<Record<string, string>>): Promise<void> {
  const absent = (): string[] => Object.keys(needed).filter((name) => !findProgram(name));
  const missing = absent();
  if (missing.length === 0) return;
  const wanted = [...new Set(missing.map((name) => needed[name]!))];
  const install = ['install', '-y', '--no-install-recommends', ...wanted];
  const remedy = `missing: ${missing.join(', ')}; run: apt-get ${install.join(' ')}`;
  if (process.getuid?.() !== 0 || !findProgram('apt-get')) {
    throw new VmError('ERR_KTLS_VM_TOOL_MISSING', remedy);
  }
  process.stderr.write(`ktls-vm: installing ${wanted.join(' ')}\n`);
  try {
    await run('apt-get', install);
  } catch {
    // A container's image often comes without package lists, or with old ones.
    await run('apt-get', ['update']);
    await run('apt-get', install);
  }
  if (absent().length > 0) throw new VmError('ERR_KTLS_VM_TOOL_MISSING', remedy);
}

import { accessSync, constants } from 'node:fs';
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

/** Where a program is on the host, as its PATH and the sbin directories have it. */
export function findProgram(name: string): string | undefined {
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

/**
 * Makes sure that host programs are there: root gets the missing ones from apt, others the
 * command to run.
 * @throws VmError ERR_KTLS_VM_TOOL_MISSING
 */
export async function requireTools(tools: readonly Tool[]): Promise<void> {
  const missing = tools.filter((tool) => !findProgram(tool));
  if (missing.length === 0) return;
  const wanted = [...new Set(missing.map((tool) => packages[tool]))];
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
  const still = tools.filter((tool) => !findProgram(tool));
  if (still.length > 0) throw new VmError('ERR_KTLS_VM_TOOL_MISSING', remedy);
}

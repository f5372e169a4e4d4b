import { existsSync } from 'node:fs';
import {
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openArchive, unpack, type Archive } from './apt.js';
import { buildOnce, cachePath, withLock } from './cache.js';
import { run } from './command.js';
import { VmError } from './errors.js';
import { kernelMetapackage, kernels, type KernelName } from './kernels.js';
import { requireTools } from './tools.js';
import { extractVmlinux } from './vmlinux.js';

/** A kernel ready to boot. */
export interface Kernel {
  /** As `uname -r` has it. */
  readonly release: string;
  /** The uncompressed ELF image. */
  readonly vmlinux: string;
  /** The directory with `lib/modules/<release>` (`depmod -b`, `modprobe -d`). */
  readonly base: string;
}

/**
 * The newest kernel of its suites at the time of the first call; later calls need no network.
 * @param update looks for a newer one
 */
export async function fetchKernel(name: KernelName, update = false): Promise<Kernel> {
  const pointer = cachePath('kernels', `${name}.txt`);
  if (update || !existsSync(pointer)) {
    await requireTools(['dpkg-deb', 'depmod', 'flock', 'lz4', 'zstd', 'xz']);
    await withLock(pointer, async () => {
      if (!update && existsSync(pointer)) return;
      const archive = await openArchive(kernels[name].suites);
      const packages = await kernelPackages(archive);
      const base = cachePath('kernels', packages.version);
      await buildOnce(base, async (directory) => {
        process.stderr.write(`ktls-vm: fetching kernel ${packages.version}\n`);
        await unpackKernel(archive, packages.names, directory);
        return undefined;
      });
      await writeFile(`${pointer}.new`, packages.version);
      await rename(`${pointer}.new`, pointer);
    });
  }
  const base = cachePath('kernels', await readFile(pointer, 'utf8'));
  const release = (await readdir(join(base, 'lib', 'modules')))[0]!;
  return { release, vmlinux: join(base, 'vmlinux'), base };
}

/**
 * What a metapackage stands for: one image package up to 6.19, then image, base, binary and
 * modules.
 */
async function kernelPackages(archive: Archive): Promise<{ version: string; names: string[] }> {
  const { version, depends } = await archive.show(kernelMetapackage);
  const isPart = (name: string): boolean => /^linux-(image|base|binary|modules)-\d/.test(name);
  const names = new Set(depends.filter(isPart));
  for (const name of names) {
    for (const further of (await archive.show(name)).depends.filter(isPart)) names.add(further);
  }
  if (names.size === 0) {
    throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `${kernelMetapackage} names no kernel`);
  }
  return { version, names: [...names] };
}

/** Leaves in `directory`: vmlinux, usr/lib/modules/<release> indexed by depmod, lib -> usr/lib. */
async function unpackKernel(
  archive: Archive,
  names: readonly string[],
  directory: string,
): Promise<void> {
  const raw = await mkdtemp(join(directory, 'raw-'));
  await unpack(await archive.download(names, raw), raw);
  // bookworm's packages have lib/, later ones usr/lib/; kmod knows either, by its own version.
  const modules = [join(raw, 'usr', 'lib', 'modules'), join(raw, 'lib', 'modules')].find(
    existsSync,
  );
  const release = modules && (await readdir(modules))[0];
  if (!release) throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `no modules in ${names.join(' ')}`);
  await mkdir(join(directory, 'usr', 'lib'), { recursive: true });
  await rename(modules, join(directory, 'usr', 'lib', 'modules'));
  await symlink(join('usr', 'lib'), join(directory, 'lib'));
  // 7.x keeps vmlinuz among the modules.
  const image = [
    join(raw, 'boot', `vmlinuz-${release}`),
    join(directory, 'lib', 'modules', release, 'vmlinuz'),
  ].find(existsSync);
  if (!image) throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `no vmlinuz in ${names.join(' ')}`);
  await extractVmlinux(image, join(directory, 'vmlinux'));
  await run('depmod', ['-b', directory, basename(release)]);
  await rm(raw, { recursive: true });
}

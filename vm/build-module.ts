import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { openArchive, unpack, type Archive } from './apt.js';
import { buildOnce, cachePath } from './cache.js';
import { run } from './command.js';
import { VmError } from './errors.js';
import { fetchKernel } from './fetch-kernel.js';
import { kernels, type KernelName } from './kernels.js';
import { packageRoot } from './package-root.js';
import { requireTools } from './tools.js';

/** What `make` and kbuild call, beside the compiler. */
const programs = ['make', 'dash', 'coreutils', 'sed', 'grep', 'gawk', 'findutils', 'diffutils'];

/**
 * Builds the simulated network card (vm/ktlsim) for a kernel: with Debian's headers of that very kernel
 * and the compiler that they name, both unpacked aside, in a chroot, for kbuild's own programs need the
 * C library of their release. Cached by the sources and the kernel.
 * @returns the .ko file
 */
export async function buildKtlsim(name: KernelName): Promise<string> {
  if (process.getuid?.() !== 0) {
    throw new VmError(
      'ERR_KTLS_VM_UNSUPPORTED_HOST',
      'building a module needs root, for chroot(2)',
    );
  }
  const { release } = await fetchKernel(name);
  const source = join(packageRoot(), 'vm', 'ktlsim');
  const hash = createHash('sha256').update(await readFile(import.meta.filename));
  for (const file of await readdir(source)) hash.update(await readFile(join(source, file)));
  const built = `${release}-${hash.digest('hex').slice(0, 16)}.ko`;
  return buildOnce(cachePath('ktlsim', built), async (directory) => {
    const root = await fetchBuildRoot(name, release);
    process.stderr.write(`ktls-vm: building ktlsim for ${release}\n`);
    // Two kernels' modules may be built at a time, and one root is a kernel's.
    const work = join(root, 'ktlsim');
    await cp(source, work, { recursive: true });
    const make = ['make', '-C', `/usr/src/linux-headers-${release}`, 'M=/ktlsim', 'modules'];
    const compiler = await compilerIn(root);
    // BTF would need pahole and the kernel's own; nobody looks at this module with BPF.
    const settings = [`CC=${compiler}`, `HOSTCC=${compiler}`, 'CONFIG_DEBUG_INFO_BTF_MODULES='];
    // objtool of 7.x reads /proc; in a mount namespace nothing stays mounted.
    const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    await mkdir(join(root, 'proc'), { recursive: true });
    await run('unshare', ['--mount', 'sh', '-c', enter, root, ...make, ...settings]);
    await cp(join(work, 'ktlsim.ko'), join(directory, 'ktlsim.ko'));
    return join(directory, 'ktlsim.ko');
  });
}

/** Headers, compiler and shell of a kernel, as one root. */
async function fetchBuildRoot(name: KernelName, release: string): Promise<string> {
  await requireTools(['dpkg-deb', 'flock']);
  return buildOnce(cachePath('kbuild', release), async (directory) => {
    process.stderr.write(`ktls-vm: fetching headers and compiler for ${release}\n`);
    // Backports build upon their release.
    const suites = kernels[name].suites.flatMap((suite) => {
      const base = /^(.*)-backports$/.exec(suite)?.[1];
      return base === undefined ? [suite] : [base, `${base}-security`, suite];
    });
    const archive = await openArchive(suites);
    const headers = await headerPackages(archive, release);
    const root = join(directory, 'root');
    for (const path of ['bin', 'lib', 'lib64', 'sbin']) {
      await mkdir(join(root, 'usr', path), { recursive: true });
      await symlink(join('usr', path), join(root, path));
    }
    const packages = [headers.compiler, headers.libelf, ...programs];
    await unpack(await archive.downloadAll(packages, join(directory, 'debs')), root);
    const debs = join(directory, 'headers');
    await mkdir(debs);
    await unpack(await archive.download(headers.names, debs), root);
    // What the packages' scripts would have done.
    await mkdir(join(root, 'dev'));
    await run('mknod', ['-m', '666', join(root, 'dev', 'null'), 'c', '1', '3']);
    await symlink('gawk', join(root, 'usr', 'bin', 'awk'));
    await symlink('dash', join(root, 'usr', 'bin', 'sh')).catch(() => undefined);
    return root;
  });
}

async function headerPackages(
  archive: Archive,
  release: string,
): Promise<{ names: string[]; compiler: string; libelf: string }> {
  const first = `linux-headers-${release}`;
  const { depends } = await archive.show(first);
  const further = depends.filter((each) => /^linux-(headers|kbuild)-/.test(each));
  const version = depends.map((each) => /gcc-(\d+)/.exec(each)?.[1]).find(Boolean);
  if (version === undefined) throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `${first}: no compiler`);
  // libelf, which kbuild's objtool links, has had another name since trixie.
  const libelf = Number(version) >= 14 ? 'libelf1t64' : 'libelf1';
  return { names: [first, ...further], compiler: `gcc-${version}`, libelf };
}

async function compilerIn(root: string): Promise<string> {
  const names = await readdir(join(root, 'usr', 'bin'));
  const compiler = names.find((name) => /^gcc-\d+$/.test(name));
  if (compiler === undefined) throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `${root}: no gcc`);
  return compiler;
}

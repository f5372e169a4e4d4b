import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { buildOnce, cachePath } from './cache.js';
import { run, runText } from './command.js';
import { fetchBusybox } from './fetch-host.js';
import type { Kernel } from './fetch-kernel.js';
import { packageRoot } from './package-root.js';
import { requireTools } from './tools.js';

/** Modules by the step of vm/guest/init that loads them. A kernel may have any of them built in. */
const modules = {
  /** To reach the host. */
  boot: ['virtio_pci', 'virtio_console', 'virtio_rng'],
  /** To have a root. */
  root: ['virtiofs', 'overlay'],
  /**
   * What tests reach for, and every algorithm kernel TLS can use: without them TLS_TX is ENOENT
   * until something loads them. Which exist differs by version; none of Debian's cloud kernels has
   * ARIA or SM4.
   */
  network: [
    'aesni_intel',
    'gcm',
    'ccm',
    'ctr',
    'cbc',
    'cmac',
    'ghash_clmulni_intel',
    'ghash_generic',
    'chacha20poly1305',
    'chacha_x86_64',
    'poly1305_x86_64',
    'aria',
    'sm4_generic',
    'tcp_diag',
    'inet_diag',
    'af_packet',
    'veth',
    'virtio_net',
    'sch_netem',
  ],
  /** Left out by `--no-tls-module`. */
  tls: ['tls'],
} as const;

/** The initramfs for a kernel: busybox, vm/guest and modules. Cached by its inputs. */
export async function buildInitramfs(kernel: Kernel): Promise<string> {
  const busybox = await fetchBusybox();
  const guest = join(packageRoot(), 'vm', 'guest');
  const hash = createHash('sha256').update(JSON.stringify(modules));
  for (const file of [busybox, import.meta.filename, join(guest, 'init'), join(guest, 'session')]) {
    hash.update(await readFile(file));
  }
  const name = `${kernel.release}-${hash.digest('hex').slice(0, 16)}.cpio`;
  return buildOnce(cachePath('initramfs', name), async (directory) => {
    await requireTools(['cpio', 'modprobe', 'xz']);
    const tree = join(directory, 'tree');
    for (const path of ['bin', 'dev', 'proc', 'sys', 'lower', 'upper', 'root', 'modules']) {
      await mkdir(join(tree, path), { recursive: true });
    }
    await copyFile(busybox, join(tree, 'bin', 'busybox'));
    await chmod(join(tree, 'bin', 'busybox'), 0o755);
    await copyFile(join(guest, 'init'), join(tree, 'init'));
    await chmod(join(tree, 'init'), 0o755);
    await copyFile(join(guest, 'session'), join(tree, 'session'));
    await copyModules(kernel, tree);
    const files = await readdir(tree, { recursive: true });
    const image = join(directory, 'image');
    const cpio = ['-o', '-H', 'newc', '--quiet', '-R', '0:0', '-F', image];
    await run('cpio', cpio, { cwd: tree, input: files.join('\n') + '\n' });
    return image;
  });
}

/**
 * Copies modules, inflated, to lib/modules and writes each step's list to /modules/<step>. The
 * lists are in order of dependency, so that busybox's modprobe, given a whole list, needs no
 * further dependencies.
 */
async function copyModules(kernel: Kernel, tree: string): Promise<void> {
  const directory = join(tree, 'lib', 'modules', kernel.release);
  await mkdir(directory, { recursive: true });
  const seen = new Set<string>();
  for (const [step, names] of Object.entries(modules)) {
    const list: string[] = [];
    for (const name of names) {
      for (const file of await moduleFiles(kernel, name)) {
        const module = basename(file).replace(/\.ko(\.xz)?$/, '');
        if (seen.has(module)) continue;
        seen.add(module);
        list.push(module);
        const target = join(directory, `${module}.ko`);
        if (file.endsWith('.xz')) await writeFile(target, await run('xz', ['-dc', file]));
        else await copyFile(file, target);
      }
    }
    await writeFile(join(tree, 'modules', step), list.join(' ') + '\n');
  }
  const index = [...seen].map((module) => `${module}.ko:\n`).join('');
  await writeFile(join(directory, 'modules.dep'), index);
}

/** A module's file after those it depends on; nothing if it is built in or does not exist. */
async function moduleFiles(kernel: Kernel, name: string): Promise<string[]> {
  const args = ['-d', kernel.base, '-S', kernel.release, '--show-depends', name];
  const text = await runText('modprobe', args, { accept: [0, 1] });
  return [...text.matchAll(/^insmod (\S+)/gm)].map((match) => match[1]!);
}

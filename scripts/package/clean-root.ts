/**
 * A root with Node, npm, a shell and the C library, and nothing else: no compiler, no python, no network.
 * Entered by chroot(2), so this needs root.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where npm's own files are: its launcher links to them. */
function npmDirectory(): string {
  const launcher = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  return dirname(dirname(realpathSync(launcher)));
}

/** A program and the shared libraries that it is linked with, in the places where they are here. */
function copyProgram(root: string, program: string): void {
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' });
  for (const [, file] of linked.matchAll(/(?:=> |^\s+)(\/\S+) \(/gm)) copy(root, file!);
  copy(root, program);
}

function copy(root: string, file: string, at = file): void {
  mkdirSync(dirname(join(root, at)), { recursive: true });
  cpSync(realpathSync(file), join(root, at), { recursive: true });
}

/** Makes the root anew. `/app` in it is for the application. */
export function makeCleanRoot(root: string): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, 'app'), { recursive: true });
  for (const name of ['proc', 'tmp', 'dev', 'root']) mkdirSync(join(root, name));
  for (const program of ['/bin/sh', '/usr/bin/env']) copyProgram(root, program);
  copyProgram(root, process.execPath);
  if (process.execPath !== '/usr/bin/node')
    symlinkSync(process.execPath, join(root, 'usr/bin/node'));
  copy(root, npmDirectory(), '/usr/lib/npm');
}

/** What runs a command of the root: in `/app`, with /proc, without any network but an `lo` that is down. */
export function insideCommand(root: string, command: readonly string[]): string[] {
  const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
  const environment = ['/usr/bin/env', '-i', '-C', '/app', 'PATH=/usr/bin:/bin', 'HOME=/root'];
  return ['sh', '-c', enter, root, ...environment, ...command];
}

/** Runs a command there on this host. @throws Error with what it said, unless it ends with 0 */
export function runInside(root: string, command: readonly string[]): string {
  const isolated = ['--mount', '--net', '--pid', '--fork', ...insideCommand(root, command)];
  const { status, stdout, stderr, error } = spawnSync('unshare', isolated, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${command.join(' ')} (${String(status)}):\n${stdout}${stderr}`);
  return stdout;
}

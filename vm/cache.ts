import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { VmError } from './errors.js';

/** The cache of fetched packages, kernels and images; may be deleted whenever no guest runs. */
export function cacheDirectory(): string {
  const own = process.env['KTLS_VM_CACHE'];
  if (own) return resolve(own);
  const shared = process.env['XDG_CACHE_HOME'];
  if (shared) return join(shared, 'ktls-vm');
  return join(homedir(), '.cache', 'ktls-vm');
}

/** A path inside the cache. */
export function cachePath(...parts: string[]): string {
  return join(cacheDirectory(), ...parts);
}

/**
 * Does `work` while no other process holds the lock of this path. The lock is flock(2)'s, held by
 * a child that ends with our end of its stdin: nothing stays locked whatever happens to us.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn('flock', [`${path}.lock`, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = new Promise<void>((resolve) => {
    holder.on('error', () => resolve());
    holder.on('exit', () => resolve());
  });
  const held = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    gone.then(() => false),
  ]);
  if (!held) throw new VmError('ERR_KTLS_VM_TOOL_FAILED', `flock ${path}.lock failed`);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await gone;
  }
}

/**
 * Makes `path` once: `build` fills a fresh directory and returns the entry in it (itself by
 * default) that then appears under `path` in one step. Concurrent callers wait for the first.
 */
export async function buildOnce(
  path: string,
  build: (directory: string) => Promise<string | undefined>,
): Promise<string> {
  if (existsSync(path)) return path;
  return withLock(path, async () => {
    if (existsSync(path)) return path;
    const partial = `${basename(path)}.partial-`;
    for (const name of await readdir(dirname(path))) {
      // Of a process that was killed: no other builds this while we hold the lock.
      if (name.startsWith(partial)) await rm(join(dirname(path), name), { recursive: true });
    }
    const directory = await mkdtemp(join(dirname(path), partial));
    try {
      await rename((await build(directory)) ?? directory, path);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
    return path;
  });
}

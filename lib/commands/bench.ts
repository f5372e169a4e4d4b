/** `ktls bench`: the benchmarks that come with the package, a program of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.js';

const program = fileURLToPath(new URL('out/scripts/bench.js', packageRoot));

/** @returns the program's exit status, or 1 if it was killed */
export async function run(args: string[]): Promise<number> {
  const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
  const [status] = (await once(child, 'close')) as [number | null];
  return status ?? 1;
}

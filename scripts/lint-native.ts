/** `npm run lint:native`: clang-tidy over the addon, with the compile commands of the CMake build. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { requirePackages } from '../vm/tools.js';
import { inLanes } from './lanes.js';

async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const status = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
  if (status !== 0) process.exitCode = status;
}

await requirePackages({ cmake: 'cmake', 'clang-tidy': 'clang-tidy' });

const build = 'cmake-build';
await run('npx', ['--no-install', 'cmake-js', 'configure', '-O', build, '--log-level', 'warn']);
if (process.exitCode === undefined) {
  const sources = readdirSync('src-native')
    .filter((name) => name.endsWith('.cc'))
    .map((name) => join('src-native', name));
  // clang-tidy itself takes one file after the other.
  await inLanes(availableParallelism(), sources, (source) =>
    run('clang-tidy', ['-p', build, '--quiet', source]),
  );
}

/** `npm run lint:native`: clang-tidy over the addon, with the compile commands of the CMake build. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { requirePackages } from '../vm/tools.js';

function run(command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

await requirePackages({ cmake: 'cmake', 'clang-tidy': 'clang-tidy' });

const build = 'cmake-build';
run('npx', ['--no-install', 'cmake-js', 'configure', '-O', build, '--log-level', 'warn']);
const sources = readdirSync('src-native')
  .filter((name) => name.endsWith('.cc'))
  .map((name) => join('src-native', name));
run('clang-tidy', ['-p', build, '--quiet', ...sources]);

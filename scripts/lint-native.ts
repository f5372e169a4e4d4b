/** `npm run lint:native`: clang-tidy over the addon, with the compile commands of the CMake build. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

function run(command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const exists = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

const missing = ['cmake', 'clang-tidy'].filter((program) => !exists(program));
if (missing.length > 0) {
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing];
  if (process.getuid?.() !== 0) {
    console.error(`Missing ${missing.join(', ')}. As root:\n  apt-get ${install.join(' ')}`);
    process.exit(1);
  }
  run('apt-get', ['update', '-qq']);
  run('apt-get', install);
}

const build = 'cmake-build';
run('npx', ['--no-install', 'cmake-js', 'configure', '-O', build, '--log-level', 'warn']);
const sources = readdirSync('src-native')
  .filter((name) => name.endsWith('.cc'))
  .map((name) => join('src-native', name));
run('clang-tidy', ['-p', build, '--quiet', ...sources]);

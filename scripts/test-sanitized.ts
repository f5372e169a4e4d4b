/**
 * `npm run test:sanitized [-- test file …]`: the tests with an addon built with AddressSanitizer and UBSan,
 * which end the process at the first finding: unit and loopback tests on this host, the native ones in a VM
 * whose kernel has TLS. With files: those alone, in the VM.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runInVm } from '../vm/run.js';
import { requirePackages } from '../vm/tools.js';
import { vitest } from './vitest.js';

const onHost = ['test/unit', 'test/loopback'];
const inVm = ['test/kernel/native-channel.test.ts', 'test/kernel/selftests.test.ts'];

/** node-gyp-build looks here when KTLS_PREBUILD says so. */
const root = resolve('out/sanitized');

async function build(): Promise<void> {
  await requirePackages({ cmake: 'cmake', 'g++': 'g++' });
  const options = ['-O', 'cmake-build/asan', '--CDKTLS_SANITIZE=address,undefined', '-B', 'Debug'];
  const quiet = ['--log-level', 'warn'];
  execFileSync('npx', ['--no-install', 'cmake-js', 'compile', ...options, ...quiet], {
    stdio: 'inherit',
    env: { ...process.env, CC: 'gcc', CXX: 'g++' },
  });
  const place = join(root, 'build/Release');
  mkdirSync(place, { recursive: true });
  copyFileSync('cmake-build/asan/Debug/ktls.node', join(place, 'ktls.node'));
}

/** The sanitizer must be in the process before everything else. */
function environment(): Record<string, string> {
  const library = (name: string): string =>
    execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  return {
    LD_PRELOAD: `${library('libasan.so')}:${library('libubsan.so')}`,
    // Node leaks on purpose what lives as long as the process.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    KTLS_PREBUILD: root,
    KTLS_SANITIZED: '1',
  };
}

await build();
const files = process.argv.slice(2);
const run = [vitest, 'run', '--pool=forks', '--maxWorkers=2', '--testTimeout=240000'];
const env = environment();
let failed = false;
if (files.length === 0) {
  const { status } = spawnSync(process.execPath, [...run, ...onHost], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  failed = status !== 0;
}
const { status } = await runInVm({
  kernel: 'trixie',
  command: ['node', ...run, ...(files.length > 0 ? files : inVm)],
  env: { ...env, KTLS_EXPECTED: '1' },
  cpus: 1,
  timeoutSeconds: 1800,
});
process.exitCode = failed || status !== 0 ? 1 : 0;

/**
 * `npm run test:sanitized [-- --thread] [test file …]`: the tests with an addon that sanitizers watch, which end
 * the process at the first finding: AddressSanitizer and UBSan, or with `--thread` ThreadSanitizer. Unit and
 * loopback tests on this host, the native ones in a VM whose kernel has TLS. With files: those alone, in the
 * VM.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runInVm } from '../vm/run.js';
import { requirePackages } from '../vm/tools.js';
import { vitest } from './vitest.js';

const { values, positionals: files } = parseArgs({
  options: { thread: { type: 'boolean', default: false } },
  allowPositionals: true,
});

interface Sanitizers {
  /** What the compiler calls them. */
  readonly flag: string;
  /** They must be in the process before everything else. */
  readonly libraries: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly onHost: readonly string[];
  readonly inVm: readonly string[];
}

const address: Sanitizers = {
  flag: 'address,undefined',
  libraries: ['libasan.so', 'libubsan.so'],
  options: {
    // Node leaks on purpose what lives as long as the process.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  },
  onHost: ['test/unit', 'test/loopback'],
  inVm: ['test/kernel/native-channel.test.ts', 'test/kernel/selftests.test.ts'],
};

/**
 * Node itself is not compiled for it, and need not be: what orders the addon's threads are libuv's mutexes, and
 * those are libc's, which the sanitizer knows. It watches the addon's own reads and writes only.
 */
const thread: Sanitizers = {
  flag: 'thread',
  libraries: ['libtsan.so'],
  options: {
    TSAN_OPTIONS: 'halt_on_error=1:abort_on_error=1:ignore_noninstrumented_modules=1',
  },
  onHost: ['test/unit/native', 'test/loopback'],
  // Files are what other threads have to do with.
  inVm: ['test/kernel/send-file'],
};

const { flag, libraries, options, onHost, inVm } = values.thread ? thread : address;
const name = flag.replace(',', '-');
/** node-gyp-build looks here when KTLS_PREBUILD says so. */
const root = resolve('out/sanitized', name);

async function build(): Promise<void> {
  await requirePackages({ cmake: 'cmake', 'g++': 'g++' });
  const place = `cmake-build/${name}`;
  const settings = ['-O', place, `--CDKTLS_SANITIZE=${flag}`, '-B', 'Debug'];
  const quiet = ['--log-level', 'warn'];
  execFileSync('npx', ['--no-install', 'cmake-js', 'compile', ...settings, ...quiet], {
    stdio: 'inherit',
    env: { ...process.env, CC: 'gcc', CXX: 'g++' },
  });
  const release = join(root, 'build/Release');
  mkdirSync(release, { recursive: true });
  copyFileSync(join(place, 'Debug/ktls.node'), join(release, 'ktls.node'));
}

function environment(): Record<string, string> {
  const path = (library: string): string =>
    execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
  return {
    LD_PRELOAD: libraries.map(path).join(':'),
    ...options,
    KTLS_PREBUILD: root,
  };
}

await build();
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

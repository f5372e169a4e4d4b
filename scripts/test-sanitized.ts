/**
 * `npm run test:sanitized [-- --thread] [test file …]`: the tests with an addon that sanitizers watch, which end
 * the process at the first finding: AddressSanitizer and UBSan, or with `--thread` ThreadSanitizer. Unit and
 * loopback tests on this host, where LeakSanitizer has its say too; where its kernel has TLS all that need it,
 * else the native ones in a VM. With files: those alone, on the kernel that has TLS; all that need it
 * (`test/kernel test/lifecycle test/interop`) take an hour in a VM.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import ktls from 'ktls';
import { runInVm } from '../vm/run.js';
import { requirePackages } from '../vm/tools.js';
import { NEED_KERNEL_TLS, guestCommand, vitest } from './vitest.js';

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
    ASAN_OPTIONS: 'abort_on_error=1:detect_leaks=0',
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
const env = environment();
const patience = '--testTimeout=240000';
const run = [vitest, 'run', patience];
const forks = ['--pool=forks', '--maxWorkers=2'];

/** Whether all is well. */
function runHere(args: readonly string[], more: Record<string, string> = {}): boolean {
  const { status } = spawnSync(process.execPath, [...run, ...args], {
    stdio: 'inherit',
    env: { ...process.env, ...env, ...more },
  });
  return status === 0;
}

/**
 * LeakSanitizer looks when a process ends by itself, which of vitest's only the first one does: the tests are in
 * threads of it. Node leaks on purpose what lives as long as the process. What counts is who has asked for the
 * memory: of a stack no more is kept than malloc and its caller, and Node as the caller is excused.
 */
function losesNothing(): boolean {
  const reports = join(root, 'leaks');
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports);
  const suppressions = join(root, 'suppressions');
  writeFileSync(suppressions, `leak:${process.execPath}\n`);
  const log = `log_path=${join(reports, 'process')}`;
  const passed = runHere(['--pool=threads', '--maxWorkers=1', 'test/unit/native'], {
    ASAN_OPTIONS: `abort_on_error=1:detect_leaks=1:malloc_context_size=2:${log}`,
    LSAN_OPTIONS: `suppressions=${suppressions}:print_suppressions=0:exitcode=0`,
  });
  const found = readdirSync(reports);
  for (const report of found) console.log(readFileSync(join(reports, report), 'utf8'));
  return passed && found.length === 0;
}

let good = true;
if (files.length === 0) {
  good = runHere([...forks, ...onHost]);
  if (!values.thread) good = losesNothing() && good;
}
const onKernel = (usual: readonly string[]): readonly string[] =>
  files.length > 0 ? files : usual;
if (ktls.probe().available) {
  // One file at a time, since tests look at the kernel's counters.
  const inTurn = ['--pool=forks', '--maxWorkers=1', ...onKernel(NEED_KERNEL_TLS)];
  good = runHere(inTurn, { KTLS_EXPECTED: '1' }) && good;
} else {
  const { status } = await runInVm({
    kernel: 'trixie',
    command: guestCommand([patience, ...onKernel(inVm)]),
    env: { ...env, KTLS_EXPECTED: '1' },
    cpus: 1,
    timeoutSeconds: 10800,
  });
  good = status === 0 && good;
}
process.exitCode = good ? 0 : 1;

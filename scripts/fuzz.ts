/**
 * `npm run fuzz -- --seconds N [--keep] [target …]`: libFuzzer, with AddressSanitizer and UBSan, on every
 * native parser and on the record pump, N seconds in all (default 30). The committed inputs of
 * `src-native/fuzz/corpus` come first; `--keep` writes what is worth keeping back into it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { requirePackages } from '../vm/tools.js';

/** The longest input of each, in bytes, and its share of the time. */
const targets: Record<string, { length: number; share: number }> = {
  record_reader_fuzz: { length: 40_000, share: 3 },
  record_pump_fuzz: { length: 40_000, share: 4 },
  sock_diag_fuzz: { length: 1024, share: 1 },
  sock_diag_dump_fuzz: { length: 4096, share: 2 },
  crypto_info_fuzz: { length: 128, share: 1 },
};

const build = 'cmake-build/fuzz';
const corpus = (target: string): string => join('src-native/fuzz/corpus', target);

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const { status, error } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function buildTargets(names: readonly string[]): void {
  const options = [
    '--CDKTLS_SANITIZE=address,undefined',
    '--CDKTLS_FUZZ=ON',
    '--log-level',
    'warn',
  ];
  const clang = { CC: 'clang', CXX: 'clang++' };
  run('npx', ['--no-install', 'cmake-js', 'configure', '-O', build, ...options], clang);
  run('cmake', ['--build', build, '--parallel', '--target', ...names]);
}

/** CPU seconds of all children that have ended (proc_pid_stat(5): cutime, cstime, in 1/100 s). */
function childrenSeconds(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** Fuzzes one target; false if it found something. */
function fuzz(name: string, seconds: number): boolean {
  const found = join('out/fuzz', name);
  mkdirSync(found, { recursive: true });
  const before = childrenSeconds();
  const { status, stderr } = spawnSync(
    resolve(build, name),
    [
      `-max_total_time=${Math.max(1, Math.round(seconds))}`,
      `-max_len=${targets[name]!.length}`,
      '-timeout=10',
      '-print_final_stats=1',
      `-artifact_prefix=${found}/finding-`,
      found,
      corpus(name),
    ],
    { encoding: 'latin1', maxBuffer: 2 ** 28 },
  );
  const inputs = /stat::number_of_executed_units:\s*(\d+)/.exec(stderr)?.[1] ?? '?';
  const coverage = stderr.match(/cov: \d+ ft: \d+ corp: \d+/g)?.at(-1) ?? '';
  const cpu = (childrenSeconds() - before).toFixed(0);
  console.log(`${name.padEnd(20)} ${inputs} inputs, ${cpu} CPU seconds, ${coverage}`);
  if (status === 0) return true;
  console.log(stderr.split('\n').slice(-60).join('\n'));
  return false;
}

/** The smallest set of inputs that covers what all known ones do. */
function keep(name: string): void {
  const kept = `${corpus(name)}.new`;
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept, { recursive: true });
  mkdirSync(corpus(name), { recursive: true });
  const limits = [`-max_len=${targets[name]!.length}`, '-merge=1'];
  run(resolve(build, name), [...limits, kept, corpus(name), join('out/fuzz', name)]);
  rmSync(corpus(name), { recursive: true });
  renameSync(kept, corpus(name));
  console.log(`${name}: ${readdirSync(corpus(name)).length} inputs kept`);
}

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    keep: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const names = positionals.length > 0 ? positionals : Object.keys(targets);
const unknown = names.filter((name) => targets[name] === undefined);
const seconds = Number(values.seconds);
if (unknown.length > 0 || !(seconds > 0)) {
  console.error(`Targets are ${Object.keys(targets).join(', ')}; --seconds takes a number.`);
  process.exit(2);
}
await requirePackages({ clang: 'clang', cmake: 'cmake' });
const resources = execFileSync('clang', ['-print-resource-dir'], { encoding: 'utf8' }).trim();
await requirePackages({ [join(resources, 'include/fuzzer')]: 'libclang-rt-dev' });
buildTargets(names);
for (const name of names) mkdirSync(corpus(name), { recursive: true });
const shares = names.reduce((sum, name) => sum + targets[name]!.share, 0);
const good = names.map((name) => fuzz(name, (seconds * targets[name]!.share) / shares));
if (values.keep) names.forEach(keep);
process.exitCode = good.every(Boolean) ? 0 : 1;

/**
 * `npm run test:node-suite`: Node's own tests of tls, https and http2, unmodified, under `ktls/register`:
 * on this host (where its kernel has no TLS, that is the fallback to node:tls) and in a VM with kernel
 * TLS. They come from Debian's source package of Node 20, into the VM's cache.
 *
 * It prints how many files pass, and how many of their sockets were really offloaded: a pass by fallback
 * does not count. A file that fails is no surprise only if `docs/compatibility.md` lists it. The VM, in which
 * a file takes many times as long, gets those that failed here or made a TLS connection: half of them never do.
 *
 *   node out/scripts/node-suite.js [--here] [--plain] [--jobs N] [--shard I/N] [--timeout S] [NAME...]
 *
 * `--here`: no VM, whatever this kernel has; `--plain`: without register, to compare with; NAME: a part
 * of a file's name.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import ktls from 'ktls';
import { openArchive } from '../vm/apt.js';
import { buildOnce, cachePath } from '../vm/cache.js';
import { run } from '../vm/command.js';
import { packageRoot } from '../vm/package-root.js';
import { runInVm } from '../vm/run.js';
import { inLanes } from './lanes.js';

const root = packageRoot();
const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    here: { type: 'boolean', default: false },
    plain: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) },
    shard: { type: 'string', default: '1/1' },
    timeout: { type: 'string', default: '120' },
    verbose: { type: 'boolean', default: false },
  },
});

/** The tests' directory, `test` of the source package. */
async function fetchSuite(): Promise<string> {
  const home = cachePath('node-suite');
  if (existsSync(home)) return home;
  mkdirSync(cachePath(), { recursive: true });
  return buildOnce(home, async (directory) => {
    console.log("fetching Node's tests");
    const archive = await openArchive(['trixie'], { sources: true });
    const files = await archive.downloadSource('nodejs', directory);
    const tarball = files.find((file) => /\.orig\.tar\.\w+$/.test(file));
    if (tarball === undefined) throw new Error(`no tarball among ${files.join(', ')}`);
    const wanted = ['parallel/test-tls-*', 'parallel/test-https-*', 'parallel/test-http2-*'];
    const patterns = [...wanted, 'common', 'fixtures'].map((part) => `*/test/${part}`);
    const strip = ['--strip-components=1', '--wildcards'];
    await run('tar', ['-xf', tarball, '-C', directory, ...strip, ...patterns]);
    return join(directory, 'test');
  });
}

/** The files that `docs/compatibility.md` says cannot pass. */
function listed(): Set<string> {
  const text = readFileSync(join(root, 'docs/compatibility.md'), 'utf8');
  return new Set([...text.matchAll(/^\| `(test-[\w.-]+)`/gm)].map(([, name]) => name!));
}

interface Outcome {
  name: string;
  verdict: 'pass' | 'skip' | 'fail';
  offloaded: number;
  refused: number;
  output: string;
  seconds: number;
}

/** One test file, in a process of its own. */
async function runFile(suite: string, name: string, scratch: string): Promise<Outcome> {
  const file = join(suite, 'parallel', name);
  const flags = /^\/\/ Flags: (.*)$/m.exec(readFileSync(file, 'utf8'))?.[1]?.split(/\s+/) ?? [];
  const directory = mkdtempSync(join(scratch, 'run-'));
  const tally = join(directory, 'tally');
  const preload = (path: string): string[] => ['--import', pathToFileURL(join(root, path)).href];
  const preloads = [...preload('dist/register.js'), ...preload('out/scripts/node-suite-tally.js')];
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    KTLS_SUITE_TALLY: tally,
    NODE_TEST_DIR: directory,
    NODE_OPTIONS: '',
  };
  delete env['NODE_DEBUG'];
  const begun = performance.now();
  const args = [...flags, ...(options.plain ? [] : preloads), file];
  const child = spawn(process.execPath, args, {
    env,
    cwd: suite,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: Number(options.timeout) * 1000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)));
  }
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  // A grandchild may hold the pipes open.
  child.stdout.destroy();
  child.stderr.destroy();
  const events = existsSync(tally) ? readFileSync(tally, 'latin1') : '';
  rmSync(directory, { recursive: true, force: true });
  if (signal !== null) output += `\n(ended by ${signal})`;
  return {
    name,
    verdict: code !== 0 ? 'fail' : /^1\.\.0 # Skipped/m.test(output) ? 'skip' : 'pass',
    offloaded: events.split('o').length - 1,
    refused: events.split('r').length - 1,
    output,
    seconds: (performance.now() - begun) / 1000,
  };
}

interface Result {
  /** Nothing failed that is not listed, and where the kernel has TLS it was used. */
  good: boolean;
  /** The files that have to do with a kernel's TLS. */
  concerned: string[];
}

/** All files on this kernel. */
async function runHere(): Promise<Result> {
  const suite = await fetchSuite();
  const [shard = 1, shards = 1] = options.shard.split('/').map(Number);
  const files = readdirSync(join(suite, 'parallel'))
    .filter((name) => /^test-(tls|https|http2)-.*\.m?js$/.test(name))
    .filter((name) => names.length === 0 || names.some((part) => name.includes(part)))
    .sort()
    .filter((_, index) => index % shards === shard - 1);
  const known = listed();
  const outcomes: Outcome[] = [];
  const scratch = mkdtempSync(join(tmpdir(), 'ktls-suite-'));
  await inLanes(Number(options.jobs), files, async (name) => {
    const outcome = await runFile(suite, name, scratch);
    outcomes.push(outcome);
    const { verdict, offloaded, output, seconds } = outcome;
    if (verdict === 'fail' || options.verbose) {
      const listing = known.has(name) ? ', listed' : '';
      const time = `${seconds.toFixed(1)} s`;
      console.log(`\n${verdict} ${name} (${time}, ${offloaded} offloaded${listing})`);
      if (verdict === 'fail') console.log(output.trimEnd().replace(/^/gm, '    '));
    }
  });
  rmSync(scratch, { recursive: true, force: true });

  const count = (verdict: string): number =>
    outcomes.filter((outcome) => outcome.verdict === verdict).length;
  const sum = (what: 'offloaded' | 'refused'): number =>
    outcomes.reduce((total, outcome) => total + outcome[what], 0);
  const failed = outcomes.filter(({ verdict }) => verdict === 'fail').map(({ name }) => name);
  const surprises = failed.filter((name) => !known.has(name)).sort();
  console.log(
    `\n${files.length} files: ${count('pass')} passed, ${count('skip')} skipped, ` +
      `${failed.length} failed (${failed.length - surprises.length} listed); ` +
      `sockets offloaded: ${sum('offloaded')} in ` +
      `${outcomes.filter(({ offloaded }) => offloaded > 0).length} files, refused: ${sum('refused')}`,
  );
  if (surprises.length > 0) console.log(`not listed: ${surprises.join(' ')}`);
  const concerned = outcomes.filter(
    ({ verdict, offloaded, refused }) => verdict === 'fail' || offloaded + refused > 0,
  );
  if (options.plain) return { good: surprises.length === 0, concerned: [] };
  const cured = outcomes
    .filter(({ name, verdict }) => verdict === 'pass' && known.has(name))
    .map(({ name }) => name);
  if (cured.length > 0) console.log(`listed, but passed: ${cured.sort().join(' ')}`);
  const fellBack = ktls.probe().available && sum('offloaded') === 0;
  if (fellBack) console.log('this kernel has TLS, and nothing was offloaded');
  return {
    good: surprises.length === 0 && !fellBack,
    concerned: concerned.map(({ name }) => name).sort(),
  };
}

if (options.here) {
  process.exitCode = (await runHere()).good ? 0 : 1;
} else {
  console.log('== host');
  const { good, concerned } = await runHere();
  console.log('\n== kernel trixie');
  const { status } = await runInVm({
    kernel: 'trixie',
    command: ['node', 'out/scripts/node-suite.js', '--here', '--timeout', '300', ...concerned],
    timeoutSeconds: 7200,
  });
  process.exitCode = good && status === 0 ? 0 : 1;
}

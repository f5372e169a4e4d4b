/**
 * `npm test`: unit and loopback tests on this host, then the tests that need kernel TLS on every kernel
 * of `KTLS_KERNELS` (default `trixie`; `trixie@24` for another Node), in a VM, or natively where this
 * host's kernel has TLS and no kernel is named. Adds everything up in the last line.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import ktls from 'ktls';
import { runInVm } from '../vm/run.js';
import { type WantedKernel, wantedKernels } from './kernels.js';
import { inLanes } from './lanes.js';
import {
  INTEROP_TESTS,
  KERNEL_TESTS,
  NEED_KERNEL_TLS,
  NODE_TESTS,
  compileTests,
  guestCommand,
  vitest,
} from './vitest.js';

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const HOST_TESTS = ['test/unit', 'test/loopback'];

/** Of the kernels' tests; with one the host's are left out. */
const filter = process.argv.slice(2);

const total: Tally = { passed: 0, failed: 0, skipped: 0 };

/** Passes output through and remembers the tally lines in it. */
class TallyReader {
  #line = '';
  found = false;
  failed = 0;
  skipped = 0;

  read(chunk: Buffer): void {
    process.stdout.write(chunk);
    const lines = (this.#line + chunk.toString('latin1')).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const json = /^ktls-tally (\{.*\})/.exec(line)?.[1];
      if (json === undefined) continue;
      this.found = true;
      const tally = JSON.parse(json) as Tally;
      total.passed += tally.passed;
      total.failed += tally.failed;
      total.skipped += tally.skipped;
      this.failed += tally.failed;
      this.skipped += tally.skipped;
    }
  }
}

/** A run that ended badly and has no failed test to show for it counts as one. */
function settle(name: string, reader: TallyReader, status: number | string): void {
  if (reader.found && (status === 0 || reader.failed > 0)) return;
  console.log(
    `${name}: exit status ${status} and ${reader.found ? 'no failed test' : 'no result'}`,
  );
  total.failed++;
}

async function onHost(
  name: string,
  paths: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  console.log(`\n== ${name}`);
  const reader = new TallyReader();
  const child = spawn(process.execPath, [vitest, 'run', ...paths], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.on('data', (chunk: Buffer) => reader.read(chunk));
  const status = await new Promise<number>((resolve) => {
    child.on('close', (code) => resolve(code ?? 1));
  });
  settle(name, reader, status);
}

const hostTests = (): Promise<void> => onHost('host', HOST_TESTS, {});

interface KernelRun extends WantedKernel {
  readonly paths: string[];
  readonly log: string;
}

/** What asks tests for more than usual, to be passed on to guests. */
const passedOn = (): Record<string, string> =>
  Object.fromEntries(
    ['KTLS_STRESS', 'KTLS_LARGE_FILES'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );

/** Prints its output when it ends, since several run at the same time; a log has it as it comes. */
async function onKernel({ kernel, node, paths, log }: KernelRun): Promise<void> {
  const name = `kernel ${kernel}${node === undefined ? '' : `, Node ${node}`}: ${paths.join(' ')}`;
  writeFileSync(log, '');
  console.log(`\n== ${name}: started, see ${log}`);
  const output: Buffer[] = [];
  let status: number | string;
  try {
    const ended = await runInVm({
      kernel,
      ...(node === undefined ? {} : { node }),
      command: guestCommand(paths),
      env: { ...passedOn(), KTLS_EXPECTED: '1' },
      // A second CPU costs more to emulate than it does.
      cpus: 1,
      timeoutSeconds: 2400,
      onOutput: (chunk: Buffer) => {
        output.push(chunk);
        appendFileSync(log, chunk);
      },
    });
    ({ status } = ended);
  } catch (error) {
    status = error instanceof Error ? error.message : String(error);
  }
  console.log(`\n== ${name}`);
  const reader = new TallyReader();
  reader.read(Buffer.concat(output));
  settle(name, reader, status);
  // What is skipped for want of something here has not been tested at all.
  if (reader.skipped > 0) {
    console.log(`${name}: ${reader.skipped} skipped, which counts as failed`);
    total.failed += reader.skipped;
  }
}

/** A guest under emulation keeps about one CPU busy; the host's tests run beside the guests. */
async function onKernels(kernels: readonly WantedKernel[]): Promise<void> {
  const waiting: KernelRun[] = [];
  const add = ({ kernel, node }: WantedKernel, paths: string[]): void => {
    const log = `out/test-${kernel}${node === undefined ? '' : `-node${node}`}`;
    const number = waiting.filter((run) => run.log.startsWith(`${log}-`)).length + 1;
    waiting.push({ kernel, node, paths, log: `${log}-${number}.log` });
  };
  const last = kernels.at(-1)!;
  if (filter.length > 0) {
    for (const each of kernels) add(each, filter);
  } else {
    const first = kernels.find(({ kernel }) => kernel !== 'bookworm');
    const interopOn = (each: WantedKernel): string[] => (each === first ? [INTEROP_TESTS] : []);
    // A guest takes 20 s to start, and the pieces must be small enough to fill all CPUs to the end.
    for (const each of kernels) {
      add(each, each === last ? [KERNEL_TESTS] : [KERNEL_TESTS, ...interopOn(each)]);
    }
    add(last, [NODE_TESTS, ...interopOn(last)]);
  }
  const all = [...new Set(waiting.flatMap(({ paths }) => paths))];
  const nodes = [...new Set(kernels.map(({ node }) => node))];
  await inLanes(availableParallelism(), nodes, (node) => compileTests(all, node));
  const jobs = waiting.map((run) => () => onKernel(run));
  if (filter.length === 0) jobs.push(hostTests);
  await inLanes(availableParallelism(), jobs, (job) => job());
}

const kernels = wantedKernels();

console.log(`${availableParallelism()} CPUs, Node ${process.version}`);
if (kernels.length === 0 && ktls.probe().available) {
  if (filter.length === 0) await hostTests();
  const paths = filter.length > 0 ? filter : NEED_KERNEL_TLS;
  await onHost('host, kernel TLS', paths, { KTLS_EXPECTED: '1' });
} else {
  await onKernels(kernels.length > 0 ? kernels : [{ kernel: 'trixie', node: undefined }]);
}

const { passed, failed, skipped } = total;
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/**
 * Carries out orders where kernel TLS is: on this host, or each in a guest of its own, so that one that
 * fails or is interrupted takes nothing with it that was measured before.
 */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import ktls from 'ktls';
import { findQemu, programsEnvironment } from '../vm/host-programs.js';
import { runInVm } from '../vm/run.js';
import { versionOfPackage } from './machine.js';
import { MarkedOutput } from './marked-output.js';
import { type Order, RESULT_MARK } from './order.js';
import { Progress, duration } from './progress.js';
import { type Result, merged, requireRevision, requireSettings } from './result.js';
import { revision } from './revision.js';
import type { Settings } from './settings.js';
import { heading, line } from './show.js';
import { trialNamed, trials } from './trials/table.js';

const script = fileURLToPath(new URL('./run.js', import.meta.url));

/** Gets each driver's result as it comes. */
type OnResult = (result: Result) => void;

/** @throws Error if the order was not carried out */
async function onHost(
  order: Order,
  env: Record<string, string>,
  onResult: OnResult,
): Promise<void> {
  const reader = new MarkedOutput(RESULT_MARK, onResult);
  const child = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  child.stdout.on('data', (chunk: Buffer) => reader.read(chunk));
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (status !== 0) throw new Error(`${order.trial}: exit status ${String(status)}`);
}

/** @throws Error if the order was not carried out; VmError */
async function inGuest(
  order: Order,
  env: Record<string, string>,
  timeoutSeconds: number,
  onResult: OnResult,
): Promise<void> {
  const reader = new MarkedOutput(RESULT_MARK, onResult);
  const { status } = await runInVm({
    kernel: 'trixie',
    command: ['node', script, JSON.stringify(order)],
    env,
    icount: true,
    stringInstructions: order.copies === 'strings',
    tlsModule: !order.barModule,
    timeoutSeconds,
    onOutput: (chunk) => reader.read(chunk),
  });
  if (status !== 0) throw new Error(`${order.trial}: exit status ${status}`);
}

/**
 * What a run has to measure.
 *
 * @param known what it need not measure again
 * @param vm in guests that count instructions; on the host, trials that need what it lacks are left out
 * @throws BenchError if what is known is of other settings, or of another revision and the settings do not allow it
 */
export function ordersOf(settings: Settings, known: Result | undefined, vm: boolean): Order[] {
  const { version, cipher, vectorCopies } = settings;
  const time = vm ? 'instructions' : 'clock';
  const samples = settings.samples ?? (vm ? 2 : 5);
  const copies = vectorCopies ? 'vectors' : 'strings';
  const shared = { samples, version, cipher, time, copies, revision: revision() } as const;
  if (known !== undefined) {
    requireSettings(known, shared);
    if (!settings.otherRevisions) requireRevision(known, shared.revision);
  }
  return settings.trials.flatMap(({ trial, drivers }) => {
    if (!vm && trial.kernelTls !== ktls.probe().available) return [];
    if (trial.needs !== undefined && versionOfPackage(trial.needs) === undefined) {
      console.log(`${trial.name} is left out: npm install ${trial.needs}`);
      return [];
    }
    const done = known?.trials.find(({ name }) => name === trial.name);
    const left = drivers.filter((driver) => {
      const figures = done?.figures.find((each) => each.driver === driver);
      return (figures?.samples.length ?? 0) < samples;
    });
    if (left.length === 0) return [];
    return [{ ...shared, trial: trial.name, drivers: left, barModule: !trial.kernelTls }];
  });
}

/** The programs that the orders cannot do without: others need not be there. */
export function programsFor(orders: readonly Order[]): ('h2load' | 'nginx' | 'wrk')[] {
  const programs = orders.flatMap(({ trial, drivers }) => [
    ...trialNamed(trial).tools,
    ...(drivers.some((driver) => driver.startsWith('nginx')) ? (['nginx'] as const) : []),
  ]);
  return [...new Set(programs)].sort();
}

/** Its trials in the table's order, whichever was measured first. */
function inOrder(result: Result): Result {
  const place = ({ name }: { name: string }): number =>
    trials.findIndex((trial) => trial.name === name);
  return { ...result, trials: result.trials.toSorted((a, b) => place(a) - place(b)) };
}

/**
 * Carries the orders out and shows what they yield.
 *
 * @param known what was measured before, to which they add
 * @param onResult gets all that is known after each driver
 */
export async function carryOut(
  orders: readonly Order[],
  { jobs, timeout, otherRevisions }: Pick<Settings, 'jobs' | 'timeout' | 'otherRevisions'>,
  vm: boolean,
  known?: Result,
  onResult?: OnResult,
): Promise<{ result: Result | undefined; failed: number }> {
  const env = await programsEnvironment(programsFor(orders));
  const qemu = vm ? { qemu: (await findQemu()).version } : {};
  const progress = new Progress(orders.reduce((sum, { drivers }) => sum + drivers.length, 0));
  let result = known;
  let failed = 0;
  const carryOutOne = async (order: Order, place: string): Promise<void> => {
    const started = performance.now();
    const trial = trialNamed(order.trial);
    progress.log(`\n${place} ${heading(trial)}`);
    const add = (one: Result): void => {
      result = inOrder(merged(result, one, { otherRevisions }));
      onResult?.(result);
      const { driver } = one.trials[0]!.figures[0]!;
      const all = result.trials.find(({ name }) => name === order.trial)!;
      progress.log(line(all, driver));
      progress.step();
    };
    try {
      await (vm ? inGuest({ ...order, ...qemu }, env, timeout, add) : onHost(order, env, add));
      progress.log(`${place} ${trial.name}: ${duration(performance.now() - started)}`);
    } catch (error) {
      failed++;
      progress.log(`${place} ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const waiting = [...orders.entries()];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await carryOutOne(next[1], `[${next[0] + 1}/${orders.length}]`);
    }
  };
  // Guests that count instructions do not disturb each other; processes on the wall clock do.
  await Promise.all(Array.from({ length: vm ? jobs : 1 }, lane));
  const took = progress.end();
  console.log(`\n${orders.length - failed} of ${orders.length} trials measured, in ${took}`);
  return { result, failed };
}

/** What is measured, written down: the form of the files in `benchmarks/results`. */
import { type DriverName, isBaseline } from './drivers/driver.js';
import { BenchError } from './errors.js';
import type { Copies, Machine, Time } from './machine.js';
import { type Metric, type Sample, type Trial, type Unit, valueOf } from './trials/trial.js';

/** The samples of one driver in one trial. */
export interface Figures {
  readonly driver: DriverName;
  /** What was measured, as `benchmarks/revision.ts` names it. */
  readonly revision: string;
  readonly samples: readonly Sample[];
  /** The median of what the trial compares: microseconds or bytes, for one unit. */
  readonly value: number;
  /** Between the dearest and the cheapest sample, as a share of the median. */
  readonly spread: number;
}

export interface TrialResult {
  readonly name: string;
  readonly title: string;
  readonly measures: Trial['measures'];
  readonly metric: Metric;
  readonly unit: Unit;
  readonly figures: readonly Figures[];
}

export interface Result {
  readonly date: string;
  readonly machine: Machine;
  readonly version: string;
  readonly cipher: string;
  readonly trials: readonly TrialResult[];
}

export function figuresOf(
  { metric }: Pick<Trial, 'metric'>,
  driver: DriverName,
  revision: string,
  samples: readonly Sample[],
): Figures {
  const values = samples.map((sample) => valueOf(metric, sample));
  const value = median(values);
  const spread = (Math.max(...values) - Math.min(...values)) / value;
  return { driver, revision, samples, value, spread };
}

/** How dear a driver is beside node:tls's own, which is 1. */
export function ratioOf({ figures }: TrialResult, driver: DriverName): number {
  const value = (of: (name: DriverName) => boolean): number =>
    figures.find((each) => of(each.driver))?.value ?? NaN;
  return value((name) => name === driver) / value(isBaseline);
}

/** The median over the samples of one of their numbers. */
export function medianOf(figures: Figures, of: (sample: Sample) => number): number {
  return median(figures.samples.map(of));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The revisions whose figures are in these trials, each once. */
export const revisionsOf = (trials: readonly TrialResult[]): string[] => [
  ...new Set(trials.flatMap(({ figures }) => figures.map(({ revision }) => revision))),
];

/** What else must be alike in figures that stand side by side. */
export interface MeasuredWith {
  readonly version: string;
  readonly cipher: string;
  readonly time: Time;
  readonly copies: Copies;
}

export const copiesOf = ({ copies = 'strings' }: Machine): Copies => copies;

/** @throws BenchError if the result was measured with others */
export function requireSettings({ machine, version, cipher }: Result, asked: MeasuredWith): void {
  const known = { version, cipher, time: machine.time, copies: copiesOf(machine) };
  for (const key of ['version', 'cipher', 'time', 'copies'] as const) {
    // By the clock they are as the machine makes them.
    if (known[key] === asked[key] || (key === 'copies' && known.time === 'clock')) continue;
    throw new BenchError(
      'ERR_KTLS_BENCH_MACHINE',
      `figures with ${key} ${known[key]} would stand beside those with ${asked[key]}`,
    );
  }
}

/** @throws BenchError if there is a figure of another revision */
export function requireRevision({ trials }: Result, revision: string): void {
  const others = revisionsOf(trials).filter((each) => each !== revision);
  if (others.length === 0) return;
  throw new BenchError(
    'ERR_KTLS_BENCH_REVISION',
    `figures of revision ${others.join(', ')} would stand beside those of ${revision}`,
  );
}

/**
 * One result of two of the same kind; the second's figures take the place of the first's.
 *
 * @param otherRevisions whether the two may be of different revisions; each figure keeps its own
 * @throws BenchError
 */
export function merged(
  first: Result | undefined,
  second: Result,
  { otherRevisions = false }: { otherRevisions?: boolean } = {},
): Result {
  if (first === undefined) return second;
  // A tool that one of the two did not need may be missing there.
  const there = (tool: string): boolean =>
    [first, second].every(({ machine }) => (machine.tools[tool] ?? 'none') !== 'none');
  const kind = ({ machine, version, cipher }: Result): string => {
    const tools = Object.entries(machine.tools).filter(([name]) => there(name));
    const copies = machine.time === 'instructions' ? copiesOf(machine) : undefined;
    const facts = { ...machine, copies, tools: Object.fromEntries(tools) };
    return JSON.stringify([Object.entries(facts).toSorted(), version, cipher]);
  };
  if (kind(first) !== kind(second)) {
    throw new BenchError(
      'ERR_KTLS_BENCH_MACHINE',
      `of different machines or settings:\n${kind(first)}\n${kind(second)}`,
    );
  }
  const trials = new Map(first.trials.map((trial) => [trial.name, trial]));
  for (const trial of second.trials) {
    const known = trials.get(trial.name)?.figures ?? [];
    const figures = [...known.filter(({ driver }) => !has(trial, driver)), ...trial.figures];
    trials.set(trial.name, { ...trial, figures });
  }
  const known = Object.entries(second.machine.tools).filter(([, version]) => version !== 'none');
  const tools = { ...second.machine.tools, ...first.machine.tools, ...Object.fromEntries(known) };
  const result = {
    ...second,
    machine: { ...second.machine, tools },
    trials: [...trials.values()],
  };
  if (!otherRevisions) {
    for (const revision of revisionsOf(second.trials)) requireRevision(result, revision);
  }
  return result;
}

export const has = ({ figures }: TrialResult, name: DriverName): boolean =>
  figures.some(({ driver }) => driver === name);

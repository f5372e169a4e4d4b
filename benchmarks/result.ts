/** What a run yields: the form of the files in `benchmarks/results`. */
import type { Machine } from './machine.js';
import type { Sample } from './subject.js';
import type { Unit } from './trials.js';

/** Before the result's JSON on standard output. */
export const RESULT_MARK = 'ktls-bench-result ';

export interface Figures {
  readonly driver: string;
  readonly samples: readonly Sample[];
  /** The median of the samples, in microseconds of CPU for one unit. */
  readonly total: number;
  readonly user: number;
  readonly system: number;
  /** Between the dearest and the cheapest sample, as a share of the median. */
  readonly spread: number;
}

export interface TrialResult {
  readonly name: string;
  readonly title: string;
  readonly measures: 'server' | 'client';
  readonly unit: Unit;
  readonly figures: readonly Figures[];
}

export interface Result {
  readonly date: string;
  readonly machine: Machine;
  readonly tools: Readonly<Record<string, string>>;
  readonly version: string;
  readonly cipher: string;
  readonly trials: readonly TrialResult[];
}

export function figuresOf(driver: string, samples: readonly Sample[]): Figures {
  const total = median(samples.map((sample) => sample.total));
  const totals = samples.map((sample) => sample.total);
  return {
    driver,
    samples,
    total,
    user: median(samples.map((sample) => sample.user)),
    system: median(samples.map((sample) => sample.system)),
    spread: (Math.max(...totals) - Math.min(...totals)) / total,
  };
}

/** How dear a driver is beside node:tls's own, which is 1. */
export function ratios({ figures }: TrialResult): { driver: string; ratio: number }[] {
  const baseline = figures.find(({ driver }) => driver === 'https' || driver === 'tls.connect');
  return figures.map(({ driver, total }) => ({ driver, ratio: total / (baseline?.total ?? NaN) }));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

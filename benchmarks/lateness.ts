/** How long an event loop keeps what comes waiting. */
import type { IntervalHistogram } from 'node:perf_hooks';

/** Microseconds. */
export interface Lateness {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Every time between two looks at the event loop, in microseconds, from the shortest to the longest. */
function gapsOf(histogram: IntervalHistogram): number[] {
  const { count } = histogram;
  return Array.from(
    { length: count },
    (_, index) => histogram.percentile((100 * (index + 1)) / count) / 1000,
  );
}

/**
 * The gap between two looks in which a moment lies, of which all are alike. To count the gaps would leave out who
 * waits: a loop that is held for a second and then looks a hundred times in a row at a millisecond's interval is
 * late one time in a hundred, and nine tenths of the time.
 */
export function latenessOf(gaps: readonly number[]): Lateness {
  const all = gaps.reduce((sum, gap) => sum + gap, 0);
  const at = (share: number): number => {
    let time = 0;
    return gaps.find((gap) => (time += gap) >= all * share) ?? NaN;
  };
  return { p50: at(0.5), p99: at(0.99), max: gaps.at(-1) ?? NaN };
}

/** Of what `monitorEventLoopDelay` has seen. */
export const lateness = (histogram: IntervalHistogram): Lateness => latenessOf(gapsOf(histogram));

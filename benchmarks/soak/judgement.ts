/**
 * Whether anything of the connections was left behind.
 *
 * Counts must be back where they were at every sample after the warm-up, since no connection is open then.
 * Memory moves by itself: optimised code comes and goes, and allocators keep pages. So it is judged by its
 * slope over all samples, the median of the slopes of all pairs (Theil and Sen), which a few odd samples
 * do not bend; what it adds up to may be no more than a fixed allowance and so many bytes a connection.
 * The smallest thing that one connection in twelve could leave in the heap (an emitter and its listener)
 * costs more than that, and so does any object of OpenSSL's outside it.
 */
import type { ProcessState, SoakSample, SoakTally } from './result.js';

/** The part of the samples that is warm-up: code is compiled and optimised, pools are filled. */
const WARM_UP = 0.2;
/** What a judgement needs behind the warm-up. */
const LEAST_SAMPLES = 8;

const KiB = 1024;

/** In bytes: as noise, and for each connection. */
const allowances = {
  heap: { fixed: 256 * KiB, perConnection: 16 },
  resident: { fixed: 4096 * KiB, perConnection: 64 },
} as const;

export interface Slope {
  /** Bytes for each connection. */
  readonly slope: number;
  /** The most that would still pass, over the connections that were judged. */
  readonly limit: number;
}

/** The samples that are judged. */
export function warm(samples: readonly SoakSample[]): readonly SoakSample[] {
  return samples.slice(Math.ceil(samples.length * WARM_UP));
}

/** The median of the slopes of all pairs of points. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes = points
    .flatMap(([x, y], i) => points.slice(i + 1).map(([x2, y2]) => (y2 - y) / (x2 - x)))
    .sort((a, b) => a - b);
  return slopes[Math.floor(slopes.length / 2)] ?? NaN;
}

export function memorySlope(
  samples: readonly SoakSample[],
  side: 'server' | 'client',
  what: 'heap' | 'resident',
): Slope {
  const judged = warm(samples);
  const { fixed, perConnection } = allowances[what];
  const span = judged.at(-1)!.connections - judged[0]!.connections;
  return {
    slope: slopeOf(judged.map((sample) => [sample.connections, sample[side][what]])),
    limit: fixed / span + perConnection,
  };
}

/** What speaks against the samples, as sentences; none if nothing was left behind. */
export function judge(samples: readonly SoakSample[]): string[] {
  const judged = warm(samples);
  const [first] = judged;
  if (first === undefined || judged.length < LEAST_SAMPLES) {
    return [`${samples.length} samples are too few to judge`];
  }
  const problems: string[] = [];
  const counts: Record<string, (sample: SoakSample) => number> = {
    'keys for sending in the kernel': ({ keyed }) => keyed.tx,
    'keys for receiving in the kernel': ({ keyed }) => keyed.rx,
  };
  for (const side of ['server', 'client'] as const) {
    for (const what of ['fds', 'handles'] as const satisfies (keyof ProcessState)[]) {
      counts[`${what} of the ${side}`] = (sample) => sample[side][what];
    }
    for (const what of ['heap', 'resident'] as const) {
      const { slope, limit } = memorySlope(samples, side, what);
      if (slope <= limit) continue;
      const grows = `grows by ${slope.toFixed(1)} bytes a connection`;
      problems.push(`${what} memory of the ${side} ${grows}, ${limit.toFixed(1)} would pass`);
    }
  }
  for (const [name, count] of Object.entries(counts)) {
    const worst = judged.reduce((a, b) => (count(b) > count(a) ? b : a));
    if (count(worst) <= count(first)) continue;
    problems.push(
      `${name}: ${count(first)} after the warm-up, ${count(worst)} after ${worst.connections}`,
    );
  }
  return problems;
}

/** What speaks against the connections: that the kernel had keys for fewer than came to be. */
export function judgeTally({ secured, offloaded }: SoakTally): string[] {
  return (['tx', 'rx'] as const)
    .filter((direction) => offloaded[direction] < secured || secured === 0)
    .map((direction) => `${direction}: ${offloaded[direction]} of ${secured} under kernel TLS`);
}

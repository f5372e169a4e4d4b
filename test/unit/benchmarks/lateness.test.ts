import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { lateness, latenessOf } from '../../../benchmarks/lateness.js';

it('an event loop is as late as a moment finds it, not as one look among many does', () => {
  const gaps = [...Array<number>(100).fill(1000), 900_000];
  expect(latenessOf(gaps)).toEqual({ p50: 900_000, p99: 900_000, max: 900_000 });
  expect(latenessOf(gaps.slice(0, -1))).toEqual({ p50: 1000, p99: 1000, max: 1000 });
});

it('which gap a moment lies in is told from their lengths', () => {
  expect(latenessOf([1, 1, 1, 97, 100])).toEqual({ p50: 97, p99: 100, max: 100 });
});

it('a loop that is held is late by that', async () => {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await sleep(20);
  const end = performance.now() + 300;
  while (performance.now() < end);
  await sleep(20);
  histogram.disable();
  const seen = lateness(histogram);
  // Of all its time the loop was held for the most: by any share of the gaps it was at their rest.
  expect(seen.p50).toBeGreaterThan(290_000);
  expect(seen.p99).toBe(seen.max);
  expect(seen.max).toBeCloseTo(histogram.max / 1000, -3);
});

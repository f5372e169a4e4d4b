/** Tests that try one thing many times, each time with other random choices that can be repeated. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { Random } from '../unit/tls/random.js';

/** `KTLS_SEED` repeats a run that failed. */
const seed = Number(process.env['KTLS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** `KTLS_STRESS` is how often; `otherwise` is what an ordinary run has time for. */
export const times = (otherwise: number): number => Number(process.env['KTLS_STRESS'] ?? otherwise);

/** In milliseconds. A trial that is not over by then hangs. */
const PATIENCE = 120_000;

/** A random generator of its own for each trial, so that they can run side by side. */
export const randomFor = (trial: number): Random => new Random(seed + trial * 7919);

/** Where a trial stands, for the report of one that hangs. */
export interface Progress {
  now: string;
}

/**
 * Runs `count` trials, so many of them at once. A trial says with a sentence what went wrong, or `null`.
 */
export async function trials(
  count: number,
  atOnce: number,
  trial: (random: Random, number: number, progress: Progress) => Promise<string | null>,
): Promise<void> {
  const failures: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      const over = new AbortController();
      const progress: Progress = { now: 'at the start' };
      const outcome = await Promise.race([
        trial(randomFor(number), number, progress).catch(
          (error: unknown) => `threw ${String(error)}`,
        ),
        sleep(PATIENCE, undefined, { signal: over.signal }).then(
          () => `hangs ${progress.now}`,
          () => null,
        ),
      ]);
      over.abort();
      if (outcome !== null) failures.push(`trial ${number}: ${outcome}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const shown = failures.slice(0, 10).join('\n');
  expect(failures.length, `${failures.length} of ${count} (KTLS_SEED=${seed})\n${shown}`).toBe(0);
}

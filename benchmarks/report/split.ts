/** How well it is known how CPU divides into user and system, which the kernel samples (benchmarks/measure.ts). */
import { type Figures, medianOf } from '../result.js';

/**
 * The standard deviation of the user time of a driver, as a share of it: of n looks that find user with the
 * probability p, np do, give or take the root of np(1 − p). NaN for older figures, which do not say how many.
 */
export function userError(figures: Figures): number {
  const ticks = figures.samples.reduce((sum, sample) => sum + (sample.ticks ?? NaN), 0);
  const user = medianOf(figures, ({ cpu }) => cpu.user / cpu.total);
  return Math.sqrt((1 - user) / (user * ticks));
}

/** That of the ratio of two drivers' user times, as a share of it. */
export const ratioError = (one: Figures, other: Figures): number =>
  Math.hypot(userError(one), userError(other));

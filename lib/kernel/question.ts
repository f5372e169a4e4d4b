/** Questions to the kernel that have one answer, unless they are asked at a bad moment. */
import { constants } from 'node:os';

const { EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNABORTED, EINPROGRESS } = constants.errno;
const { EMFILE, ENFILE, ENOBUFS, ENOMEM, ETIMEDOUT } = constants.errno;

/** Out of descriptors, memory or ports, or too slow: the probe's deadlines end as three of these. */
const shortages: ReadonlySet<number> = new Set([
  ...[EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE, EADDRNOTAVAIL],
  ...[EAGAIN, EINPROGRESS, ETIMEDOUT, ECONNABORTED],
]);

/** Whether a negated errno tells of the moment, and nothing of what the kernel can. */
export const isShortage = (result: number): boolean => shortages.has(-result);

/** How many times as long as it took to find out is believed what may be otherwise the next time. */
const PATIENCE = 100;

/**
 * Asked when its answer is first wanted. An answer that tells something of the kernel is kept for ever. One
 * that does not is kept so long that no more than a hundredth of the time goes into asking again.
 */
export class Question<T> {
  readonly #ask: () => T;
  readonly #isLasting: (answer: T) => boolean;
  #kept: { answer: T; until: number } | null = null;

  /** @param isLasting - Whether the answer would be the same at any other time. */
  constructor(ask: () => T, isLasting: (answer: T) => boolean) {
    this.#ask = ask;
    this.#isLasting = isLasting;
  }

  answer(): T {
    const start = performance.now();
    if (this.#kept === null || start >= this.#kept.until) {
      const answer = this.#ask();
      const end = performance.now();
      const until = this.#isLasting(answer) ? Infinity : end + PATIENCE * (end - start);
      this.#kept = { answer, until };
    }
    return this.#kept.answer;
  }
}

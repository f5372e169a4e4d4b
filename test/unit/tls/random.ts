/** Repeatable randomness for hostile-input tests (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  /** `data` in pieces of 0 to `longest` bytes. */
  pieces(data: Buffer, longest: number): Buffer[] {
    const pieces: Buffer[] = [];
    for (let offset = 0; offset < data.length;) {
      const length = this.below(longest + 1);
      pieces.push(data.subarray(offset, offset + length));
      offset += length;
    }
    return pieces;
  }
}

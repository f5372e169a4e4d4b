/** How far a run has come: a bar below its lines, on a terminal. */
import { performance } from 'node:perf_hooks';

const WIDTH = 30;
/** Moves the cursor to the line's beginning and clears the line. */
const CLEAR = '\r\x1b[2K';

/** `m:ss` */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

export class Progress {
  readonly #total: number;
  readonly #stream: NodeJS.WriteStream;
  readonly #began = performance.now();
  #done = 0;

  /** @param total steps of a run */
  constructor(total: number, stream: NodeJS.WriteStream = process.stdout) {
    this.#total = total;
    this.#stream = stream;
    this.#draw();
  }

  /** Writes a line above the bar. */
  log(text: string): void {
    this.#stream.write(`${this.#stream.isTTY ? CLEAR : ''}${text}\n`);
    this.#draw();
  }

  /** One step is done. */
  step(): void {
    this.#done++;
    this.#draw();
  }

  /** @returns what it took. The bar goes. */
  end(): string {
    if (this.#stream.isTTY) this.#stream.write(CLEAR);
    return duration(performance.now() - this.#began);
  }

  #draw(): void {
    if (!this.#stream.isTTY) return;
    const filled = Math.round((WIDTH * this.#done) / this.#total);
    const bar = '#'.repeat(filled).padEnd(WIDTH, '.');
    const time = duration(performance.now() - this.#began);
    this.#stream.write(`${CLEAR}[${bar}] ${this.#done} of ${this.#total}, ${time}`);
  }
}

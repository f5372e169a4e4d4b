/** Programs at the far end of the simulated network card's wire (nic.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { packageRoot } from './script.js';

export const farNamespace = 'far';

/** A program in the far namespace that says on standard output, line by line, how far it is. */
export class FarProgram implements AsyncDisposable {
  readonly #process: ChildProcess;
  /** When it has ended and said all. */
  readonly #closed: Promise<unknown>;
  #over = false;
  #output = '';

  constructor(command: readonly string[]) {
    this.#process = spawn('ip', ['netns', 'exec', farNamespace, ...command], {
      cwd: packageRoot,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdout!.on('data', (data: Buffer) => (this.#output += data.toString()));
    this.#closed = once(this.#process, 'close').then(() => (this.#over = true));
  }

  static node(body: string): FarProgram {
    return new FarProgram([process.execPath, '--input-type=module', '-e', body]);
  }

  /** The rest of the line that begins with `word`. */
  async said(word: string): Promise<string> {
    for (;;) {
      const line = this.#output
        .split('\n')
        .slice(0, -1)
        .find((each) => each.startsWith(word));
      if (line !== undefined) return line.slice(word.length).trim();
      if (this.#over) throw new Error(`the far end is gone: ${this.#output}`);
      await Promise.race([once(this.#process.stdout!, 'data'), this.#closed]);
    }
  }

  /** Writes a line to its standard input. */
  tell(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  /** Ends its standard input, which tells it to come to its end. */
  finish(): void {
    this.#process.stdin!.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#closed;
  }
}

/** Keeps what a socket tells its consumer, in order. */
import type { AnySocket } from './connection.js';

export class Witness {
  readonly #socket: AnySocket;
  readonly #waiters: (() => void)[] = [];
  /** Data, runs of it joined, and then `'end'`, `'error'` and `'close'` as they come. */
  readonly events: string[] = [];
  error: (Error & { code?: string; reason?: string }) | null = null;
  #data = '';

  constructor(socket: AnySocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#data += chunk.toString('latin1');
      this.#notify();
    });
    for (const event of ['end', 'close']) socket.on(event, () => this.#note(event));
    socket.on('error', (error: Error) => {
      this.error = error;
      this.#note('error');
    });
  }

  /** All data since the last event. */
  get data(): string {
    return this.#data;
  }

  /** Waits for so much data since the last event, and returns all there is. */
  async received(length: number): Promise<string> {
    while (this.#data.length < length) {
      if (this.#socket.destroyed) throw new Error(`closed after ${this.#data.length} bytes`);
      await this.#change();
    }
    return this.#data;
  }

  /** Waits for the first of these events, and returns all so far. */
  async until(...wanted: ('end' | 'error' | 'close')[]): Promise<string[]> {
    while (!wanted.some((event) => this.events.includes(event))) await this.#change();
    return this.events;
  }

  #note(event: string): void {
    if (this.#data !== '') this.events.push(this.#data);
    this.#data = '';
    this.events.push(event);
    this.#notify();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #notify(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

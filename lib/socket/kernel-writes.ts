/**
 * What is written to a connection under kernel TLS, files aside: in its order, never ahead of a KeyUpdate that
 * waits for room, and not at all once nothing can arrive any more.
 */
import { unharmed } from '../unharmed.js';
import type { Chunk, WriteCallback } from './data-path.js';
import type { KeyUpdates } from './key-updates.js';
import type { TcpSide } from './tcp-side.js';

interface HeldWrite {
  write: () => void;
  callback: WriteCallback;
}

/** No encoding makes more than three bytes of a unit of UTF-16. */
const mostBytes = (chunk: Buffer | string): number =>
  typeof chunk === 'string' ? 3 * chunk.length : chunk.length;

export class KernelWrites {
  readonly #handle: Pick<TcpSide, 'write' | 'writev'>;
  readonly #keyUpdates: KeyUpdates | null;
  #held: HeldWrite[] | null = null;
  #broken: Error | null = null;

  constructor(handle: Pick<TcpSide, 'write' | 'writev'>, keyUpdates: KeyUpdates | null) {
    this.#handle = handle;
    this.#keyUpdates = keyUpdates;
  }

  /** Why nothing can arrive any more, whatever the kernel goes on taking. */
  get broken(): Error | null {
    return this.#broken;
  }

  /** Whether a KeyUpdate goes first that waits for room. */
  get waiting(): boolean {
    return this.#keyUpdates?.pending === true;
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#broken !== null) callback(this.#broken);
    else if (this.mayWrite(mostBytes(chunk), 1)) this.#handle.write(chunk, encoding, callback);
    else this.#hold(() => this.write(chunk, encoding, callback), callback);
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    const bytes = (): number => chunks.reduce((sum, { chunk }) => sum + mostBytes(chunk), 0);
    if (this.#broken !== null) callback(this.#broken);
    else if (this.#keyUpdates === null || this.mayWrite(bytes(), chunks.length)) {
      this.#handle.writev(chunks, callback);
    } else this.#hold(() => this.writev(chunks, callback), callback);
  }

  /** Whether so many bytes may be written now: not while a KeyUpdate waits to go ahead of them. */
  mayWrite(bytes: number, pieces: number): boolean {
    this.#keyUpdates?.beforeWrite(bytes, pieces);
    return !this.waiting;
  }

  #hold(write: () => void, callback: WriteCallback): void {
    (this.#held ??= []).push({ write, callback });
  }

  /** No KeyUpdate waits any more: what was held goes, unless another comes first. */
  release(): void {
    for (const { write } of this.#takeHeld()) write();
  }

  /** What is held will not be written. */
  giveUp(error: Error): void {
    // The application's, while its socket is being closed.
    for (const { callback } of this.#takeHeld()) unharmed(() => callback(error));
  }

  /** Nothing that is written from now on, or is held, would arrive. */
  break(error: Error): void {
    this.#broken = error;
    this.giveUp(error);
  }

  #takeHeld(): HeldWrite[] {
    const held = this.#held ?? [];
    this.#held = null;
    return held;
  }
}

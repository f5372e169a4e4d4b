/**
 * The simulated network card (vm/ktlsim), in the VM: two interfaces wired to each other, each with an
 * address, the second one in a network namespace of its own, so that connections really pass the wire.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { describe } from 'vitest';
import { interfaceStatistics } from '../../lib/kernel/ethtool.js';
import { packageRoot } from './script.js';

const module = process.env['KTLS_SIM'] ?? '';

/** The interface here and the one in the namespace. */
export const card = { name: 'ktlsim0', address: '10.77.0.1' } as const;
export const peer = { name: 'ktlsim1', address: '10.77.0.2', namespace: 'far' } as const;

/** `describe` for suites that need the card. `KTLS_SIM` is its module; `npm run test:nic` sets it. */
export function describeNic(name: string, body: () => void): void {
  if (module === '' && process.env['KTLS_EXPECTED'] === '1') throw new Error('KTLS_SIM is not set');
  if (module !== '' && !existsSync(module)) throw new Error(`KTLS_SIM: there is no ${module}`);
  describe.skipIf(module === '')(name, body);
}

const ip = (...args: string[]): void => void execFileSync('ip', args);
const far = (...args: string[]): void => ip('netns', 'exec', peer.namespace, ...args);

/** Loads the module and lays the wire. */
export function plugIn(): void {
  execFileSync('insmod', [module]);
  ip('netns', 'add', peer.namespace);
  ip('link', 'set', peer.name, 'netns', peer.namespace);
  ip('addr', 'add', `${card.address}/24`, 'dev', card.name);
  far('ip', 'addr', 'add', `${peer.address}/24`, 'dev', peer.name);
  linkUp();
}

export function linkUp(): void {
  ip('link', 'set', card.name, 'up');
  far('ip', 'link', 'set', 'lo', 'up');
  far('ip', 'link', 'set', peer.name, 'up');
}

export function linkDown(): void {
  ip('link', 'set', card.name, 'down');
}

export function unplug(): void {
  ip('netns', 'del', peer.namespace);
  execFileSync('rmmod', ['ktlsim']);
}

export type Fault = 'refuse' | 'drop' | 'reorder';

/** Sets a fault switch for the time of `body`. */
export async function withFault<T>(
  fault: Fault,
  value: number,
  body: () => Promise<T>,
): Promise<T> {
  const switchTo = (to: number): void => {
    writeFileSync(`/sys/module/ktlsim/parameters/${fault}`, String(to));
  };
  switchTo(value);
  try {
    return await body();
  } finally {
    switchTo(0);
  }
}

/** The card's counters here. */
export const cardCounters = (): Readonly<Record<string, number>> => interfaceStatistics(card.name);

/** A program in the far namespace, which uses the built package as the tests' scripts do. */
export class FarScript implements AsyncDisposable {
  readonly #process: ChildProcess;
  /** When it has ended and said all. */
  readonly #closed: Promise<unknown>;
  #over = false;
  #output = '';

  constructor(body: string) {
    const args = ['netns', 'exec', peer.namespace, process.execPath, '--input-type=module', '-e'];
    this.#process = spawn('ip', [...args, body], {
      cwd: packageRoot,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdout!.on('data', (data: Buffer) => (this.#output += data.toString()));
    this.#closed = once(this.#process, 'close').then(() => (this.#over = true));
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#closed;
  }
}

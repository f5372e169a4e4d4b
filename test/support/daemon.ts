/** Servers that are no programs of Node: started for a test on a port of their own, killed after it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../../benchmarks/ports.js';
import { foreignEnvironment } from './foreign.js';
import type { Scratch } from './scratch.js';

/** Debian's `nobody`: some servers refuse to run as root. */
const NOBODY = 65534;

/**
 * `command` as a user who is not root, but may read what root may: unpacked programs can stand in a cache
 * that is root's.
 */
function unprivileged(command: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [...command];
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const capability = '+dac_read_search';
  return [
    'setpriv',
    ...user,
    `--inh-caps=${capability}`,
    `--ambient-caps=${capability}`,
    ...command,
  ];
}

/** Gives files and directories to whom daemons run as. */
export function hand(...paths: string[]): void {
  if (process.getuid?.() === 0) for (const path of paths) chownSync(path, NOBODY, NOBODY);
}

/** Runs a program to its end. @throws Error if it fails, with what it said */
export function runUnprivileged(command: readonly string[], scratch: Scratch): void {
  const [program, ...args] = unprivileged(command);
  execFileSync(program!, args, {
    cwd: scratch.directory,
    stdio: 'pipe',
    env: foreignEnvironment(),
  });
}

export class Daemon implements AsyncDisposable {
  readonly #process: ChildProcess;
  #output = '';
  /** Told when it has ended and said all. */
  readonly #over: Promise<unknown>;

  private constructor(command: readonly string[], scratch: Scratch) {
    const [program, ...args] = unprivileged(command);
    this.#process = spawn(program!, args, {
      cwd: scratch.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: foreignEnvironment(),
    });
    this.#process.on('error', (error) => (this.#output += String(error)));
    this.#over = new Promise((resolve) => this.#process.once('close', resolve));
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      stream.on('data', (data: Buffer) => (this.#output += data.toString()));
    }
  }

  /** Settled when it accepts connections. @throws Error if it ends instead, with what it said */
  static async start(command: readonly string[], port: number, scratch: Scratch): Promise<Daemon> {
    const daemon = new Daemon(command, scratch);
    for (;;) {
      const { pid, exitCode, signalCode } = daemon.#process;
      if (pid === undefined || exitCode !== null || signalCode !== null) {
        await daemon.#over;
        throw new Error(`${command[0]} does not run: ${daemon.#output}`);
      }
      if (await accepts(port)) return daemon;
      await sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#over;
  }
}

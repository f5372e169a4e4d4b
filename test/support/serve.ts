/** `ktls serve` in a process of its own, as `npx` starts it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { packageRoot } from './script.js';

export interface ServeEnded {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServeCommand extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly ended: Promise<ServeEnded>;
  readonly stdout: string;
  readonly stderr: string;
  /** The first group of the first match in what it says on standard error, or on both; waits for it. */
  matched(pattern: RegExp): Promise<string>;
}

const DEADLINE = 300_000;

/** @param command - What to run, where that is not the bin itself. */
export function startServe(args: string[], command?: (bin: string[]) => string[]): ServeCommand {
  const bin = [process.execPath, join(packageRoot, 'dist/cli.js'), 'serve', ...args];
  const [program, ...rest] = command?.(bin) ?? bin;
  const child = spawn(program!, rest, {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  let over = false;
  const waiters = new Set<() => void>();
  const notify = (): void => {
    for (const waiter of waiters) waiter();
    waiters.clear();
  };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (data: Buffer) => {
      output[name] += data.toString();
      notify();
    });
  }
  const ended = once(child, 'close').then(([code, signal]): ServeEnded => {
    over = true;
    notify();
    return { code: code as number | null, signal: signal as string | null, ...output };
  });
  return {
    process: child,
    ended,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    async matched(pattern) {
      for (;;) {
        const found = pattern.exec(output.stderr + output.stdout);
        if (found !== null) return found[1] ?? found[0];
        if (over) throw new Error(`ktls serve ended: ${JSON.stringify(output)}`);
        await new Promise<void>((resolve) => {
          waiters.add(resolve);
        });
      }
    },
    async [Symbol.asyncDispose]() {
      if (!over) child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The port, when the server is up. */
export const portOf = async (command: ServeCommand): Promise<number> =>
  Number(await command.matched(/ is at https:\/\/[^ ]+:(\d+)\/\n[^]*kernel TLS is/));

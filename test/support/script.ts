/**
 * Programs that use the built package as an application does, each in a process of its own: what a crash,
 * a hang, a leak or an exit code says about it cannot be hidden by the test runner.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ecdsaCertificate } from './certificates.js';

export const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

/** What every script begins with: the vocabulary of their bodies. */
const prelude = (root: string): string => `
import ktls from ${JSON.stringify(pathToFileURL(join(root, 'dist/index.js')).href)};
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import readline from 'node:readline';
import os from 'node:os';
import tls from 'node:tls';
import { Worker, parentPort, workerData } from 'node:worker_threads';
import { setTimeout as delay } from 'node:timers/promises';
const certificate = ${JSON.stringify(ecdsaCertificate())};
const given = JSON.parse(process.env.KTLS_TEST_GIVEN ?? '{}');
// Synchronous, so that nothing said before an exit is lost, workers included.
const say = (...words) => fs.writeSync(1, words.join(' ') + '\\n');
const server = (options = {}, make = ktls.createServer) => make({ ...certificate, ...options });
const listening = async (listener) => {
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return listener.address().port;
};
const connect = (port, options = {}, connector = ktls.connect) =>
  connector({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
// A connection within this process, secured at both ends.
const pair = async (options = {}) => {
  const listener = server(options);
  const accepted = once(listener, 'secureConnection');
  const client = connect(await listening(listener), options);
  await once(client, 'secureConnect');
  const [accepting] = await accepted;
  return { listener, client, server: accepting };
};
const sockets = () =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:'); } catch { return false; }
  }).length;
// Keys that the kernel has, of all processes.
const keys = () => Object.entries(ktls.stats())
  .filter(([name]) => name.startsWith('TlsCurr'))
  .reduce((sum, [, count]) => sum + count, 0);
// Another script like this one, in a thread.
const startWorker = (body, workerData) =>
  new Worker(new URL('data:text/javascript,' + encodeURIComponent(given.prelude + body)), { workerData });
`;

/** What a script ended with. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ScriptOptions {
  /** `given` in the script. */
  given?: object;
  env?: NodeJS.ProcessEnv;
  nodeArguments?: string[];
  /** In milliseconds, for scripts that take longer than others. */
  deadline?: number;
  /** The root of the package that the script uses: this one unless a test has another. */
  root?: string;
}

export interface Running {
  readonly process: ChildProcess;
  /** The next line of standard output that begins with `word`, the word cut off. */
  said(word: string): Promise<string>;
  /** Writes a line to its standard input. */
  tell(line: string): void;
  /** Ends its standard input. */
  finish(): Promise<Ended>;
  readonly ended: Promise<Ended>;
}

/**
 * A process that takes longer has hung: it is killed, and its end says so. Node takes seconds to start
 * under emulation, and some scripts start several. With sanitizers it takes several times as long.
 */
export const DEADLINE = process.env['KTLS_PREBUILD'] === undefined ? 100_000 : 220_000;

/** For the tests of a file that runs scripts: enough for one that hangs to be told so. */
export const scriptTimeout = { testTimeout: DEADLINE + 20_000 };

/** Starts `body`, which may use the prelude's names and top-level `await`. */
export function startScript(body: string, options: ScriptOptions = {}): Running {
  const {
    given = {},
    env = {},
    nodeArguments = [],
    root = packageRoot,
    deadline = DEADLINE,
  } = options;
  const beginning = prelude(root);
  const child = spawn(
    process.execPath,
    [...nodeArguments, '--input-type=module', '--eval', beginning + body],
    {
      cwd: root,
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        KTLS_TEST_GIVEN: JSON.stringify({ ...given, prelude: beginning }),
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: deadline,
      killSignal: 'SIGKILL',
    },
  );
  // One that has ended is noticed by what it said.
  child.stdin.on('error', () => undefined);
  const output = { stdout: '', stderr: '' };
  const waiters = new Set<() => void>();
  const notify = (): void => {
    for (const waiter of waiters) waiter();
    waiters.clear();
  };
  child.stdout.on('data', (data: Buffer) => {
    output.stdout += data.toString();
    notify();
  });
  child.stderr.on('data', (data: Buffer) => (output.stderr += data.toString()));
  let over = false;
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    over = true;
    notify();
    return { code: code as number | null, signal: signal as string | null, ...output };
  });
  let read = 0;
  return {
    process: child,
    ended,
    tell: (line) => void child.stdin.write(`${line}\n`),
    finish: () => {
      child.stdin.end();
      return ended;
    },
    async said(word) {
      for (;;) {
        const start = output.stdout.indexOf('\n', read);
        if (start >= 0) {
          const line = output.stdout.slice(read, start);
          read = start + 1;
          if (line === word || line.startsWith(`${word} `)) return line.slice(word.length + 1);
        } else if (over) {
          throw new Error(`the script ended without saying '${word}': ${JSON.stringify(output)}`);
        } else {
          await new Promise<void>((resolve) => {
            waiters.add(resolve);
          });
        }
      }
    },
  };
}

export function runScript(body: string, options?: ScriptOptions): Promise<Ended> {
  return startScript(body, options).ended;
}

/** The end of a program in which nothing went wrong and nobody complained. */
export const clean = { code: 0, signal: null, stderr: '' } as const;

/** The programs of `examples/`, run as their first lines say. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from './script.js';

function start(name: string, env: NodeJS.ProcessEnv, options: string[] = []): ChildProcess {
  const program = join(packageRoot, 'examples', `${name}.mjs`);
  return spawn(process.execPath, [...options, program], {
    cwd: packageRoot,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** A server among them, until it is disposed of. */
export class ExampleServer implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly port: number;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#closed = once(process, 'close');
    this.port = port;
  }

  static async start(name: string, env: NodeJS.ProcessEnv): Promise<ExampleServer> {
    const child = start(name, { ...env, PORT: '0' });
    for await (const line of createInterface(child.stdout!)) {
      const port = /^listening on (\d+)$/.exec(line)?.[1];
      if (port !== undefined) return new ExampleServer(child, Number(port));
    }
    throw new Error(`${name} ended without listening`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#closed;
  }
}

/** A client among them: what it printed. `options`: of Node. */
export async function runExample(
  name: string,
  env: NodeJS.ProcessEnv,
  options?: string[],
): Promise<string> {
  const child = start(name, env, options);
  let output = '';
  child.stdout!.on('data', (data: Buffer) => (output += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${name} ended with ${String(code)}:\n${output}`);
  return output;
}

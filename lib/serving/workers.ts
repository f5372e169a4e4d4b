/** `ktls serve --workers`: processes that share the port, and what they and the first one say to each other. */
import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.js';
import { FileServer, type FileServerOptions } from './file-server.js';
import { type Reporter, type TransferState, lines, silent } from './reporter.js';

/** `screen`: the first process draws; else each writes its own lines. */
interface Start {
  readonly type: 'start';
  readonly options: FileServerOptions;
  readonly output: 'screen' | 'lines' | 'silent';
}
type ToWorker = Start | { readonly type: 'stop' };
type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'line' | 'note'; readonly text: string }
  | { readonly type: 'transfer'; readonly state: TransferState }
  | { readonly type: 'done'; readonly id: string };

export class WorkerPool {
  readonly #start: Start;
  readonly #reporter: Reporter;
  readonly #listening = new Set<Worker>();
  #stopping = false;
  #started!: (port: number) => void;
  #failed!: (error: Error) => void;
  /** The port, when all of them listen. */
  readonly port: Promise<number>;

  constructor(
    count: number,
    options: FileServerOptions,
    output: Start['output'],
    reporter: Reporter,
  ) {
    this.#start = { type: 'start', options, output };
    this.#reporter = reporter;
    this.port = new Promise((resolve, reject) => {
      this.#started = resolve;
      this.#failed = reject;
    });
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('dist/cli.js', packageRoot)),
      args: ['serve'],
    });
    for (let i = 0; i < count; i++) this.#fork(count);
  }

  /** Resolves when all have answered their last requests and are gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const gone = this.#workers().map(
      (worker) => new Promise((resolve) => worker.once('exit', resolve)),
    );
    for (const worker of this.#workers()) this.#tell(worker, { type: 'stop' });
    await Promise.all(gone);
  }

  kill(): void {
    this.#stopping = true;
    for (const worker of this.#workers()) worker.process.kill('SIGKILL');
  }

  #workers(): Worker[] {
    return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
  }

  #tell(worker: Worker, message: ToWorker): void {
    if (worker.isConnected()) worker.send(message);
  }

  #fork(count: number): void {
    const worker = cluster.fork();
    const transfers = new Set<string>();
    // EPIPE: what is said to one that is just ending, by node:cluster itself too. Its 'exit' tells.
    worker.on('error', () => undefined);
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') {
        this.#tell(worker, this.#stopping ? { type: 'stop' } : this.#start);
      } else if (message.type === 'listening') {
        this.#listening.add(worker);
        if (this.#listening.size >= count) this.#started(message.port);
      } else if (message.type === 'failed') {
        this.#failed(new Error(message.message));
      } else if (message.type === 'transfer') {
        transfers.add(message.state.id);
        this.#reporter.transfer(message.state);
      } else if (message.type === 'done') {
        transfers.delete(message.id);
        this.#reporter.done(message.id);
      } else {
        this.#reporter[message.type](message.text);
      }
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      for (const id of transfers) this.#reporter.done(id);
      const listened = this.#listening.delete(worker);
      if (this.#stopping) return;
      const how = `a worker ended with ${signal ?? `status ${code}`}`;
      // One that never got that far would not the next time either.
      if (!listened) {
        this.#failed(new Error(how));
        return;
      }
      this.#reporter.note(`${how}; starting another`);
      this.#fork(count);
    });
  }
}

/** What a worker does: it serves until it is told to stop. */
export async function work(): Promise<number> {
  const say = (message: FromWorker): void => {
    if (process.connected) process.send!(message, () => undefined);
  };
  // The terminal sends Ctrl-C to all processes; the first one says what is to be done.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  const remote: Reporter = {
    line: (text) => say({ type: 'line', text }),
    note: (text) => say({ type: 'note', text }),
    transfer: (state) => say({ type: 'transfer', state }),
    done: (id) => say({ type: 'done', id }),
  };
  const reporters = { screen: remote, lines, silent };
  return new Promise((resolve) => {
    let server: FileServer | null = null;
    const begin = async ({ options, output }: Start): Promise<number> => {
      server = new FileServer(options, reporters[output]);
      return server.listen();
    };
    process.on('message', (message: ToWorker) => {
      if (message.type === 'start') {
        begin(message).then(
          (port) => say({ type: 'listening', port }),
          (error: unknown) => {
            say({ type: 'failed', message: (error as Error).message });
            leave(1);
          },
        );
      } else {
        void (server?.stop() ?? Promise.resolve()).then(() => leave(0));
      }
    });
    const leave = (status: number): void => {
      // It may have been told twice.
      if (process.connected) process.disconnect();
      resolve(status);
    };
    say({ type: 'ready' });
  });
}

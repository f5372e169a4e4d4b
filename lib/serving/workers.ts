/** `ktls serve --workers`: processes that share the port, and what they and the first one say to each other. */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
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

/** Between a replacement that did not come to listen and the next one, in milliseconds. */
const FIRST_DELAY = 250;
const LONGEST_DELAY = 10_000;

export class WorkerPool {
  readonly #count: number;
  readonly #start: Start;
  readonly #reporter: Reporter;
  /** Those that have not ended. */
  readonly #workers = new Set<Worker>();
  readonly #listening = new Set<Worker>();
  #delay = FIRST_DELAY;
  #timer: NodeJS.Timeout | null = null;
  #hasStarted = false;
  #stopping = false;
  #started!: (port: number) => void;
  #failed!: (error: Error) => void;
  /** The port, when all of them listen; rejects with what kept one from it. */
  readonly port: Promise<number>;

  constructor(
    count: number,
    options: FileServerOptions,
    output: Start['output'],
    reporter: Reporter,
  ) {
    this.#count = count;
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
    this.#fill();
  }

  /** Resolves when all have answered their last requests and are gone. */
  async stop(): Promise<void> {
    this.#forkNoMore();
    const gone = [...this.#workers].map(
      (worker) => new Promise((resolve) => worker.once('exit', resolve)),
    );
    for (const worker of this.#workers) this.#tell(worker, { type: 'stop' });
    await Promise.all(gone);
  }

  kill(): void {
    this.#forkNoMore();
    for (const worker of this.#workers) worker.process.kill('SIGKILL');
  }

  #forkNoMore(): void {
    this.#stopping = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #tell(worker: Worker, message: ToWorker): void {
    if (worker.isConnected()) worker.send(message);
  }

  #fill(): void {
    this.#timer = null;
    for (let missing = this.#count - this.#workers.size; missing > 0; missing--) this.#fork();
  }

  #fork(): void {
    let worker: Worker;
    try {
      worker = cluster.fork();
    } catch (error) {
      this.#missed(notStarted(error as Error));
      return;
    }
    this.#workers.add(worker);
    const transfers = new Set<string>();
    /** Why it cannot listen, in its own words. */
    let reason: string | null = null;
    worker.on('error', (error) => {
      // EPIPE: what is said to one that is just ending, by node:cluster itself too. Its 'exit' tells.
      // There is none of a process that never was.
      if (worker.process.pid !== undefined || !this.#workers.delete(worker)) return;
      this.#missed(notStarted(error));
    });
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') {
        this.#tell(worker, this.#stopping ? { type: 'stop' } : this.#start);
      } else if (message.type === 'listening') {
        this.#listening.add(worker);
        this.#delay = FIRST_DELAY;
        if (this.#listening.size < this.#count) return;
        this.#hasStarted = true;
        this.#started(message.port);
      } else if (message.type === 'failed') {
        reason = message.message;
        if (!this.#hasStarted) this.#failed(new Error(reason));
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
      this.#workers.delete(worker);
      const how = `a worker ended with ${signal ?? `status ${code}`}`;
      if (!this.#listening.delete(worker)) {
        this.#missed(reason ?? how);
      } else if (!this.#stopping) {
        this.#reporter.note(`${how}; starting another`);
        this.#fork();
      }
    });
  }

  /**
   * One did not come to listen. At the start that is an error of the whole; later it is likely to be a
   * shortage, which passes.
   */
  #missed(how: string): void {
    if (this.#stopping) return;
    if (!this.#hasStarted) {
      this.#failed(new Error(how));
      return;
    }
    this.#reporter.note(`${how}; ${this.#listening.size} of ${this.#count} workers serve`);
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#fill(), this.#delay);
    this.#delay = Math.min(2 * this.#delay, LONGEST_DELAY);
  }
}

/**
 * For 0 a free port. Left to node:cluster, it would be another one after all workers have crashed together;
 * asked for by its number it is the same.
 */
export async function portToShare({ host, port }: FileServerOptions): Promise<number> {
  if (port !== 0) return port;
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port: free } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return free;
}

const notStarted = (error: Error): string => `a worker cannot be started: ${error.message}`;

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

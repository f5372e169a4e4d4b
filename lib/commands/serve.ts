/** `ktls serve` */
import cluster from 'node:cluster';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { constants, hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { kernelRefusal } from '../kernel/probe.js';
import { type Certificate, selfSigned } from '../serving/certificate.js';
import { FileServer, type FileServerOptions } from '../serving/file-server.js';
import { type Reporter, Screen, lines, silent } from '../serving/reporter.js';
import { WorkerPool, portToShare, work } from '../serving/workers.js';
import { UsageError } from './usage.js';

export const help = `ktls serve [DIRECTORY] [options]

Serves the files of a directory (default: this one) over HTTPS, their content under kernel TLS from the
page cache to the wire. Standard output has a line for each request in the Common Log Format, and on a
terminal one for each transfer that is under way. Symbolic links are followed.

  --port N            default 8443; 0 for any
  --host HOST         default localhost; :: or 0.0.0.0 for every interface
  --cert FILE         certificate chain, PEM
  --key FILE          its private key, PEM; without both: a self-signed certificate, in memory only
  --workers N         processes that share the port (default 1)
  --require           a connection that cannot be offloaded fails
  --precompressed     send NAME.br or NAME.gz, where there is one, to whom it suits
  --dotfiles          serve names that begin with a dot too
  --max-age SECONDS   how long caches may use a file without asking (default 0)
  --json              the access log as JSON, an object a line
  --quiet             no access log

SIGTERM or Ctrl-C: no new connections, transfers that are under way go to their end. The second one
ends at once.
`;

export async function run(args: string[]): Promise<number> {
  // Whoever reads the log or the notes may go away; the server stays.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  if (cluster.isWorker) return work();
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      port: { type: 'string', default: '8443' },
      host: { type: 'string', default: 'localhost' },
      cert: { type: 'string' },
      key: { type: 'string' },
      workers: { type: 'string', default: '1' },
      require: { type: 'boolean', default: false },
      precompressed: { type: 'boolean', default: false },
      dotfiles: { type: 'boolean', default: false },
      'max-age': { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > 1) throw new UsageError('serve: one directory at a time');
  const root = resolve(positionals[0] ?? '.');
  if (!isDirectory(root)) throw new UsageError(`serve: ${root} is no directory`);
  const port = integer('--port', values.port, 0, 65_535);
  const workers = integer('--workers', values.workers, 1, 1024);
  const maxAge = 1000 * integer('--max-age', values['max-age'], 0, 31_536_000);
  if ((values.cert === undefined) !== (values.key === undefined)) {
    throw new UsageError('--cert and --key go together');
  }
  const refusal = kernelRefusal();
  const { host, require, precompressed, json } = values;
  if (require && refusal !== null) return failed(refusal);
  try {
    const { certificate, own } = certificateOf(values.cert, values.key, host);
    const files = {
      precompressed,
      maxAge,
      dotfiles: values.dotfiles ? 'allow' : 'ignore',
    } as const;
    const options = { root, host, port, certificate, require, files, json };
    const { stdout } = process;
    const reporter = stdout.isTTY
      ? new Screen(stdout, !values.quiet)
      : values.quiet
        ? silent
        : lines;
    const serving = await start(options, workers, reporter);
    const announce = (text: string): void => reporter.note(text);
    const shown = host.includes(':') ? `[${host}]` : host;
    announce(`${root} is at https://${shown}:${serving.port}/`);
    announce(
      refusal === null
        ? 'kernel TLS is on: connections are offloaded'
        : `kernel TLS is off, node:tls encrypts: ${refusal.message} (${refusal.code})`,
    );
    if (own) {
      const { fingerprint256 } = new X509Certificate(certificate.cert);
      announce(`the certificate is self-signed, SHA-256 ${fingerprint256}`);
    }
    await stopSignal(() => serving.kill());
    announce('stopping when the transfers are done; once more ends at once');
    await serving.stop();
    return 0;
  } catch (error) {
    return failed(error as Error);
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function failed(error: Error): number {
  process.stderr.write(`ktls: ${error.message}\n`);
  return 1;
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`${option} ${text}: not an integer from ${least} to ${most}`);
}

function certificateOf(
  cert: string | undefined,
  key: string | undefined,
  host: string,
): { certificate: Certificate; own: boolean } {
  if (cert !== undefined && key !== undefined) {
    const read = (file: string): string => readFileSync(file, 'utf8');
    return { certificate: { cert: read(cert), key: read(key) }, own: false };
  }
  return {
    certificate: selfSigned([host, 'localhost', hostname(), '127.0.0.1', '::1']),
    own: true,
  };
}

interface Serving {
  readonly port: number;
  stop(): Promise<void>;
  /** Whatever does not end with this process. */
  kill(): void;
}

async function start(
  options: FileServerOptions,
  count: number,
  reporter: Reporter,
): Promise<Serving> {
  if (count === 1) {
    const server = new FileServer(options, reporter);
    return { port: await server.listen(), stop: () => server.stop(), kill: () => undefined };
  }
  const output = reporter instanceof Screen ? 'screen' : reporter === silent ? 'silent' : 'lines';
  const shared = { ...options, port: await portToShare(options) };
  const pool = new WorkerPool(count, shared, output, reporter);
  try {
    return { port: await pool.port, stop: () => pool.stop(), kill: () => pool.kill() };
  } catch (error) {
    pool.kill();
    throw error;
  }
}

/** Resolves with the first; the second ends the process as the signal would have. */
function stopSignal(beforeExit: () => void): Promise<void> {
  return new Promise((resolve) => {
    let first = true;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (!first) {
          beforeExit();
          process.exit(128 + constants.signals[signal]);
        }
        first = false;
        resolve();
      });
    }
  });
}

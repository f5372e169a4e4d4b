/** The load on a server: the field's own tools, where one fits. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ask, message, startNode, stop } from './processes.js';
import type { ConnectionsSettings } from './subjects/connections.js';
import type { EchoSettings } from './subjects/echo.js';
import { MiB } from './trials/trial.js';

const run = promisify(execFile);

/** A server to load. */
export interface Target {
  readonly secure: boolean;
  /** Closes the connection behind each answer. */
  readonly closes: boolean;
  readonly port: number;
}

/** What a load has had done. */
export interface Done {
  readonly units: number;
  readonly connections: number;
  /** Of the load's own clock. */
  readonly seconds?: number;
  /** Microseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number };
}

const urlOf = ({ secure, port }: Target, path: string): string =>
  `${secure ? 'https' : 'http'}://127.0.0.1:${port}${path}`;

/** Requests of HTTP/1.1 by `h2load`, as many on each connection as it takes. The unit is a request. */
export function requests(
  target: Target,
  path: string,
  count: number,
  connections: number,
): Promise<Done> {
  return h2load(['--h1', '-m', '1', urlOf(target, path)], count, connections);
}

/** Requests of HTTP/2 by `h2load`, ten at a time on each connection, for one path after the other. */
export function streams(
  target: Target,
  paths: readonly string[],
  count: number,
  connections: number,
): Promise<Done> {
  const urls = paths.map((path) => urlOf(target, path));
  return h2load(['-m', '10', ...urls], count, connections);
}

async function h2load(args: readonly string[], count: number, connections: number): Promise<Done> {
  const folder = mkdtempSync(join(tmpdir(), 'h2load-'));
  try {
    const log = join(folder, 'log');
    const counts = ['-n', String(count), '-c', String(connections), '-t', '1'];
    const { stdout } = await run('h2load', [...counts, `--log-file=${log}`, ...args]);
    const [, succeeded] = /^requests: .* (\d+) succeeded, 0 failed, 0 errored/m.exec(stdout) ?? [];
    const [, perSecond] = /^finished in .*, ([\d.]+) req\/s/m.exec(stdout) ?? [];
    if (Number(succeeded) !== count || perSecond === undefined) throw new Error(stdout);
    const latency = latencyOf(readFileSync(log, 'latin1'));
    return { units: count, connections, seconds: count / Number(perSecond), latency };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Loads before the one that counts. Several, on connections of their own: however long the first is, the
 * second costs two to three times as much as those behind it (seen in Node 20, with plain http too). With
 * small requests what there is without kernel TLS has settled by the fourth, kernel TLS, which has more
 * JavaScript to compile, by the fifth: 95 µs behind 105 and 109.
 */
export async function warmUp(load: () => Promise<Done>): Promise<void> {
  for (let i = 0; i < 4; i++) await load();
}

/** The third column of h2load's log, a line a request. */
function latencyOf(log: string): { p50: number; p99: number } {
  const times = log
    .trim()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]))
    .sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor((times.length - 1) * share)]!;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Requests whose unit is a MiB of their responses: on one connection, or by `curl` on one each. */
export async function downloads(
  target: Target,
  path: string,
  bytes: number,
  count: number,
): Promise<Done> {
  const units = (count * bytes) / MiB;
  if (!target.closes) return { ...(await requests(target, path, count, 1)), units };
  const args = ['-sSk', '--fail', '-o', '/dev/null', '-w', '%{size_download}'];
  for (let i = 0; i < count; i++) {
    const { stdout } = await run('curl', [...args, urlOf(target, path)]);
    if (Number(stdout) !== bytes) throw new Error(`${stdout} bytes of ${bytes}`);
  }
  return { units, connections: count };
}

/**
 * Downloads by `wrk`, one after the other on each connection, until the time is over. The unit is a MiB.
 * Unlike h2load it reads each connection a piece at a time, so that all of them are served alike.
 */
export async function downloadsFor(
  target: Target,
  path: string,
  connections: number,
  seconds: number,
): Promise<Done> {
  const { stdout } = await run('wrk', [
    ...['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '60s'],
    urlOf(target, path),
  ]);
  const [, read, unit] = /, ([\d.]+)(MB|GB) read$/m.exec(stdout) ?? [];
  if (read === undefined || /Socket errors|Non-2xx/.test(stdout)) throw new Error(stdout);
  return { units: Number(read) * (unit === 'GB' ? 1024 : 1), connections };
}

/** Uploads of a file by `curl`, a connection each. The unit is a MiB. */
export async function upload(target: Target, file: string, times: number): Promise<Done> {
  const url = urlOf(target, '/');
  let bytes = 0;
  for (let i = 0; i < times; i++) {
    const args = ['-sSk', '--fail', '-o', '/dev/null', '-w', '%{size_upload}', '-T', file, url];
    bytes += Number((await run('curl', args)).stdout);
  }
  return { units: bytes / MiB, connections: times };
}

/**
 * Connections one after the other, each with one request. `openssl s_time` counts seconds, not
 * connections, so that the cheaper server would have more of them to warm up with.
 */
export async function connections(
  { port }: Target,
  kind: 'full' | 'resumed',
  count: number,
): Promise<Done> {
  const settings: ConnectionsSettings = { port, resumed: kind === 'resumed' };
  const client = startNode('connections', settings);
  try {
    await message(client);
    await ask(client, String(count));
    return { units: count, connections: count };
  } finally {
    await stop(client);
  }
}

/** Bytes to an echo server and back, at the same time. The unit is a MiB that went both ways. */
export async function echo(target: Target, rounds: readonly number[]): Promise<Done> {
  const settings: EchoSettings = { port: target.port, secure: target.secure };
  const client = startNode('echo', settings);
  try {
    await message(client);
    for (const bytes of rounds) await ask(client, String(bytes));
    const all = rounds.reduce((sum, bytes) => sum + bytes, 0);
    return { units: all / MiB, connections: 1 };
  } finally {
    await stop(client);
  }
}

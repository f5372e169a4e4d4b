/** The load on a server: the field's own tools, where one fits. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ask, message, startNode, stop } from './processes.js';
import type { EchoSettings } from './subjects/echo.js';
import { MiB } from './trials/trial.js';

const run = promisify(execFile);

/** A server to load. */
export interface Target {
  readonly secure: boolean;
  readonly port: number;
}

/** What a load has had done. */
export interface Done {
  readonly units: number;
  readonly connections: number;
  /** Microseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number };
}

const urlOf = ({ secure, port }: Target, path: string): string =>
  `${secure ? 'https' : 'http'}://127.0.0.1:${port}${path}`;

/** Requests of HTTP/1.1 by `h2load`, as many on each connection as it takes. The unit is a request. */
export async function requests(
  target: Target,
  path: string,
  count: number,
  connections: number,
): Promise<Done> {
  const folder = mkdtempSync(join(tmpdir(), 'h2load-'));
  try {
    const log = join(folder, 'log');
    const { stdout } = await run('h2load', [
      ...['--h1', '-n', String(count), '-c', String(connections), '-t', '1', '-m', '1'],
      ...[`--log-file=${log}`, urlOf(target, path)],
    ]);
    const [, succeeded] = /^requests: .* (\d+) succeeded, 0 failed, 0 errored/m.exec(stdout) ?? [];
    if (Number(succeeded) !== count) throw new Error(stdout);
    return { units: count, connections, latency: latencyOf(readFileSync(log, 'latin1')) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Loads before the one that counts. Several, on connections of their own: however long the first is, the
 * second costs two to three times as much as those behind it (seen in Node 20, with plain http too).
 *
 * @param count requests of each
 */
export async function warmUp(
  target: Target,
  path: string,
  count: number,
  connections: number,
): Promise<void> {
  for (let i = 0; i < 3; i++) await requests(target, path, count, connections);
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

/** Requests whose unit is a MiB of their responses. */
export async function downloads(
  target: Target,
  path: string,
  bytes: number,
  count: number,
  connections = 1,
): Promise<Done> {
  const done = await requests(target, path, count, connections);
  return { ...done, units: (count * bytes) / MiB };
}

/** Downloads by `h2load`, one after the other on each connection, until the time is over. The unit is a MiB. */
export async function downloadsFor(
  target: Target,
  path: string,
  connections: number,
  seconds: number,
): Promise<Done> {
  const { stdout } = await run('h2load', [
    ...['--h1', '-D', String(seconds), '-c', String(connections), '-t', '1', '-m', '1'],
    urlOf(target, path),
  ]);
  const [, bytes] = /^traffic: \S+ \((\d+)\) total/m.exec(stdout) ?? [];
  if (bytes === undefined || Number(bytes) === 0) throw new Error(stdout);
  return { units: Number(bytes) / MiB, connections };
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

/** Connections one after the other by `openssl s_time`, each with one request. */
export async function connections(
  { port }: Target,
  kind: 'full' | 'resumed',
  seconds: number,
): Promise<Done> {
  const { stdout } = await run('openssl', [
    ...['s_time', '-connect', `127.0.0.1:${port}`, '-www', '/memory/1'],
    ...[kind === 'full' ? '-new' : '-reuse', '-time', String(seconds)],
  ]);
  const [, made] = /^(\d+) connections in \d+ real seconds/m.exec(stdout) ?? [];
  // It prints a letter a connection: r for one that resumed a session.
  const resumed = /\br{5}/.test(stdout);
  if (made === undefined || resumed !== (kind === 'resumed')) throw new Error(stdout);
  return { units: Number(made), connections: Number(made) };
}

/** Bytes to an echo server and back, at the same time. The unit is a MiB that went both ways. */
export async function echo(target: Target, rounds: readonly number[]): Promise<Done> {
  const settings: EchoSettings = target;
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

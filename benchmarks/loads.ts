/** The field's own tools, as the load on a server: each says how many units of work it has had done. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A server to load. */
export interface Target {
  readonly secure: boolean;
  readonly port: number;
}

const urlOf = ({ secure, port }: Target, path: string): string =>
  `${secure ? 'https' : 'http'}://127.0.0.1:${port}${path}`;

/** Keep-alive requests by `wrk`. @returns requests answered */
export async function requests(
  target: Target,
  path: string,
  connections: number,
  seconds: number,
): Promise<number> {
  const { stdout } = await run('wrk', [
    ...['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '60s'],
    urlOf(target, path),
  ]);
  const [, answered] = /^\s*(\d+) requests in/m.exec(stdout) ?? [];
  if (answered === undefined || /Socket errors|Non-2xx/.test(stdout)) throw new Error(stdout);
  return Number(answered);
}

/** Downloads over one connection by `curl`. @returns bytes */
export async function download(target: Target, path: string, times: number): Promise<number> {
  const each = ['-o', '/dev/null', urlOf(target, path)];
  const { stdout } = await run('curl', [
    ...['-sSk', '--fail', '-w', '%{size_download}\\n'],
    ...Array.from({ length: times }, () => each).flat(),
  ]);
  return total(stdout);
}

/** Uploads of a file by `curl`. @returns bytes */
export async function upload(target: Target, file: string, times: number): Promise<number> {
  const url = urlOf(target, '/');
  let bytes = 0;
  for (let i = 0; i < times; i++) {
    const { stdout } = await run('curl', ['-sSk', '--fail', '-T', file, url]);
    bytes += total(stdout);
  }
  return bytes;
}

/** One connection after the other by `openssl s_time`, each with one request. @returns connections */
export async function connections(
  { port }: Target,
  kind: 'full' | 'resumed',
  seconds: number,
): Promise<number> {
  const { stdout } = await run('openssl', [
    ...['s_time', '-connect', `127.0.0.1:${port}`, '-www', '/memory/1'],
    ...[kind === 'full' ? '-new' : '-reuse', '-time', String(seconds)],
  ]);
  const [, made] = /^(\d+) connections in \d+ real seconds/m.exec(stdout) ?? [];
  if (made === undefined) throw new Error(stdout);
  return Number(made);
}

const total = (lines: string): number =>
  lines
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0);

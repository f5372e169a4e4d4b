/** The `curl` command as an HTTP client. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { foreignEnvironment } from './foreign.js';

/** Of curl's `%{json}`: one transfer. */
export interface Transfer {
  readonly http_code: number;
  readonly http_version: string;
  readonly num_connects: number;
  readonly size_download: number;
  readonly size_upload: number;
  readonly ssl_verify_result: number;
}

export interface CurlResult {
  /** 0 if all went well; `man curl` has the others. */
  readonly code: number | null;
  readonly stdout: Buffer;
  /** curl's own words, and with `-v` what passed. */
  readonly stderr: string;
  readonly transfers: Transfer[];
}

/** Runs curl, which looks at no file or proxy setting of the user. */
export async function curl(...args: string[]): Promise<CurlResult> {
  const always = ['-q', '-sS', '--noproxy', '*', '-w', '%{stderr}\n%{json}\n'];
  const child = spawn('curl', [...always, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: foreignEnvironment(),
  });
  const stdout: Buffer[] = [];
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  const lines = text.split('\n').filter((line) => line !== '');
  const isReport = (line: string): boolean => line.startsWith('{"');
  return {
    code,
    stdout: Buffer.concat(stdout),
    stderr: lines.filter((line) => !isReport(line)).join('\n'),
    transfers: lines.filter(isReport).map((line) => JSON.parse(line) as Transfer),
  };
}

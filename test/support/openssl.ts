/** The `openssl` command as the peer of a connection. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type CipherSuite } from '../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../lib/tls/constants.js';
import type { Certificate } from './certificates.js';
import { foreignEnvironment } from './foreign.js';
import type { Scratch } from './scratch.js';

/** Of the host's configuration nothing, so that tests mean the same everywhere. */
const environment = { ...foreignEnvironment(), OPENSSL_CONF: '/dev/null' };

/** `[3, 0]` */
export function opensslVersion(): [major: number, minor: number] {
  const text = execFileSync('openssl', ['version'], { encoding: 'utf8', env: environment });
  const [, major, minor] = /^OpenSSL (\d+)\.(\d+)/.exec(text) ?? [];
  return [Number(major), Number(minor)];
}

/** The version and suite, as either command takes them. */
export function suiteArguments(suite: CipherSuite): string[] {
  return suite.version === ProtocolVersion.TLS13
    ? ['-tls1_3', '-ciphersuites', suite.name]
    : ['-tls1_2', '-cipher', `${suite.name}:@SECLEVEL=0`];
}

export type Version = 'TLSv1.2' | 'TLSv1.3';
export const versionArgument = (version: Version): string =>
  version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3';

/** A certificate to show, as arguments of either command. Its files come into `scratch`. */
export function credentials(scratch: Scratch, { key, cert }: Certificate): string[] {
  const name = cert.replaceAll(/[^A-Za-z0-9]/g, '').slice(-40, -20);
  return [
    ...['-key', scratch.write(`${name}.key`, key)],
    ...['-cert', scratch.write(`${name}.pem`, cert)],
  ];
}

/** A running `s_client` or `s_server`. */
export class OpensslPeer implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown[]>;
  #over = false;
  #chunks: Buffer[] = [];
  #received = 0;
  #errors = '';
  readonly #news = new EventEmitter();

  constructor(args: string[], directory?: string) {
    this.#process = spawn('openssl', args, { env: environment, cwd: directory });
    this.#exited = once(this.#process, 'close');
    this.#process.stdout.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#received += chunk.length;
      this.#news.emit('news');
    });
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
      this.#news.emit('news');
    });
    this.#process.on('close', () => {
      this.#over = true;
      this.#news.emit('news');
    });
    // What is not read any more when it exits is for the test to notice.
    this.#process.stdin.on('error', () => undefined);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** All of its stderr so far. */
  get errors(): string {
    return this.#errors;
  }

  /** All of its stdout so far. */
  get output(): Buffer {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  /** The length of `output`. */
  get received(): number {
    return this.#received;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Writes to its stdin. */
  send(data: Uint8Array | string): void {
    this.#process.stdin.write(data);
  }

  endInput(): void {
    this.#process.stdin.end();
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** The first bytes of its stdout, once there are so many. */
  async receive(length: number): Promise<Buffer> {
    await this.until(() => this.#received >= length);
    return this.output.subarray(0, length);
  }

  /** Waits for its output, or stderr, to make this true. Rejects if the process ends before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      // Not when it has exited: its last words may still be in the pipe.
      if (this.#over) throw new Error(`openssl is gone: ${this.#errors}`);
      await once(this.#news, 'news');
    }
  }

  /** Its exit code, when it is there; `null` if a signal ended it. */
  async exit(): Promise<number | null> {
    await this.#exited;
    return this.#process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) this.kill();
    await this.#exited;
  }
}

/** `openssl s_client`. With `-quiet` what it prints is what came, and what it reads is sent as it is. */
export function sClient(port: number, ...args: string[]): OpensslPeer {
  return new OpensslPeer(['s_client', '-connect', `127.0.0.1:${port}`, '-verify_quiet', ...args]);
}

/** `openssl s_server` for so many connections one after the other, and the port it listens on. */
export async function sServer(
  connections: number,
  directory: string,
  ...args: string[]
): Promise<{ peer: OpensslPeer; port: number }> {
  const peer = new OpensslPeer(
    ['s_server', '-accept', '127.0.0.1:0', '-naccept', String(connections), ...args],
    directory,
  );
  for (;;) {
    if (!peer.running) throw new Error(`s_server is gone: ${peer.errors}`);
    const port = listeningPort(peer.pid);
    if (port !== null) return { peer, port };
    await delay(20);
  }
}

/** A process's listening TCP port, from `/proc`: a connection made to find out would be served. */
function listeningPort(pid: number): number | null {
  const mine = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      mine.add(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      // Closed meanwhile.
    }
  }
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === '0A' && mine.has(`socket:[${inode}]`)) return parseInt(local!.slice(-4), 16);
  }
  return null;
}

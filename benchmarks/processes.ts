/** The measured processes, and those that load them: fresh ones for each sample. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DriverName } from './drivers/driver.js';
import { startNginx } from './drivers/nginx.js';
import { startOpenssl } from './drivers/openssl.js';
import type { RunningPeer } from './drivers/peer.js';
import type { ServerSettings } from './subjects/server.js';
import type { Scene } from './trials/trial.js';

/** Open files a process may have: as many connections as a trial holds, and then some. */
const OPEN_FILES = 20_000;

/** Node itself takes all that the hard limit allows; more is root's to give. */
function mayOpen(files: number): boolean {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)!;
  return hard === 'unlimited' || Number(hard) >= files;
}

/** Starts `subjects/<name>.js`, which gets the settings as JSON in its first argument. */
export function startNode(
  name: 'server' | 'client' | 'undici' | 'echo' | 'idle' | 'connections',
  settings: object,
  { flags = [], manyFiles = false }: { flags?: readonly string[]; manyFiles?: boolean } = {},
): ChildProcess {
  const script = fileURLToPath(new URL(`./subjects/${name}.js`, import.meta.url));
  const command = [process.execPath, ...flags, script, JSON.stringify(settings)];
  if (manyFiles && !mayOpen(OPEN_FILES)) command.unshift('prlimit', `--nofile=${OPEN_FILES}`);
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** Starts the server of a driver. @returns when it listens */
export async function startServer(
  { tls, folder }: Scene,
  driver: DriverName,
  role: ServerSettings['role'] = 'http',
  options?: Parameters<typeof startNode>[2],
): Promise<RunningPeer> {
  if (driver === 'nginx' || driver === 'nginx-ktls') {
    return startNginx({ tls, folder, kernelTls: driver === 'nginx-ktls' });
  }
  if (driver === 'openssl' || driver === 'openssl-ktls') {
    return startOpenssl({ tls, folder, kernelTls: driver === 'openssl-ktls' });
  }
  const settings: ServerSettings = { driver, tls, folder, role };
  const child = startNode('server', settings, options);
  const { port } = (await message(child)) as { port: number };
  return { process: child, port };
}

/** The next message; a process that ends instead is an error. */
export async function message(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  const { signal } = over;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([value]) => value as unknown),
      once(child, 'exit', { signal }).then(() => {
        throw new Error('a measured process has ended');
      }),
    ]);
  } finally {
    over.abort();
  }
}

/** Sends a message. @returns the answer */
export async function ask(child: ChildProcess, question: string | object): Promise<unknown> {
  const answer = message(child);
  child.send(question);
  return answer;
}

/** Ends a process. @returns when it has ended */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/**
 * The simulated network card (vm/ktlsim), in the VM: two interfaces wired to each other, each with an
 * address, the second one in a network namespace of its own, so that connections really pass the wire.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import type * as tls from 'node:tls';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import * as ktls from '../../lib/index.js';
import { interfaceStatistics } from '../../lib/kernel/ethtool.js';
import { ecdsaCertificate } from './certificates.js';
import { digest, readExactly } from './connection.js';
import { FarProgram, farNamespace } from './far-program.js';

const module = process.env['KTLS_SIM'] ?? '';

/** The interface here and the one in the namespace. */
export const card = { name: 'ktlsim0', address: '10.77.0.1' } as const;
export const peer = { name: 'ktlsim1', address: '10.77.0.2' } as const;

/**
 * `describe` for suites that need the card, with a server at its far end. `KTLS_SIM` is its module; `npm run
 * test:nic` sets it.
 */
export function describeNic(name: string, body: (far: FarServer) => void): void {
  if (module === '' && process.env['KTLS_EXPECTED'] === '1') throw new Error('KTLS_SIM is not set');
  if (module !== '' && !existsSync(module)) throw new Error(`KTLS_SIM: there is no ${module}`);
  describe.skipIf(module === '')(name, () => {
    const far = new FarServer();
    beforeAll(async () => {
      // Its own connections over loopback are counted too.
      ktls.probe();
      plugIn();
      await far.start();
    });
    afterAll(async () => {
      await far.stop();
      unplug();
    });
    body(far);
  });
}

const ip = (...args: string[]): void => void execFileSync('ip', args);
const inNamespace = (...args: string[]): void => ip('netns', 'exec', farNamespace, ...args);

/** Loads the module and lays the wire. */
function plugIn(): void {
  execFileSync('insmod', [module]);
  ip('netns', 'add', farNamespace);
  ip('link', 'set', peer.name, 'netns', farNamespace);
  ip('addr', 'add', `${card.address}/24`, 'dev', card.name);
  inNamespace('ip', 'addr', 'add', `${peer.address}/24`, 'dev', peer.name);
  inNamespace('ip', 'link', 'set', 'lo', 'up');
  inNamespace('ip', 'link', 'set', peer.name, 'up');
  setLink('up');
}

function unplug(): void {
  ip('netns', 'del', farNamespace);
  execFileSync('rmmod', ['ktlsim']);
}

/** The kernel takes the connections off a card that goes down; they go on in software. */
export const setLink = (state: 'up' | 'down'): void => ip('link', 'set', card.name, state);

/** As if the cable were pulled, or put in again: the card keeps its connections. */
export const setCarrier = (state: 'on' | 'off'): void =>
  ip('link', 'set', card.name, 'carrier', state);

export type Fault = 'refuse' | 'drop' | 'reorder';

/** Sets a fault switch for the time of `body`. */
export async function withFault<T>(
  fault: Fault,
  value: number,
  body: () => Promise<T>,
): Promise<T> {
  const switchTo = (to: number): void => {
    writeFileSync(`/sys/module/ktlsim/parameters/${fault}`, String(to));
  };
  switchTo(value);
  try {
    return await body();
  } finally {
    switchTo(0);
  }
}

/** The kernel's counters, and the card's here. */
export const counters = (): Readonly<Record<string, number>> => ({
  ...ktls.stats(),
  ...interfaceStatistics(card.name),
});

/** By how much the counters have moved when `body` is over. */
export async function change(body: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = counters();
  await body();
  return Object.fromEntries(
    Object.entries(counters()).map(([name, value]) => [name, value - (before[name] ?? 0)]),
  );
}

/** At the far end of the wire: node:tls, which sends back what it is sent. */
export class FarServer {
  #program: FarProgram | undefined;
  #port = 0;

  async start(): Promise<void> {
    this.#program = FarProgram.node(`
      const tls = await import('node:tls');
      const server = tls.createServer(${JSON.stringify(ecdsaCertificate())}, (socket) => {
        socket.on('error', () => undefined);
        socket.pipe(socket);
      });
      server.on('tlsClientError', (error) => console.log('refused', error.message));
      server.listen(0, '${peer.address}', 2000, () => console.log('port', server.address().port));
    `);
    this.#port = Number(await this.#program.said('port'));
  }

  async stop(): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
  }

  get address(): string {
    return `${peer.address}:${this.#port}`;
  }

  /** A secured connection. */
  async connect(version: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.2'): Promise<ktls.ClientSocket> {
    const socket = ktls.connect({
      host: peer.address,
      port: this.#port,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256',
    });
    await once(socket, 'secureConnect');
    return socket;
  }

  /** Sends so many bytes over a new connection, and compares what comes back. */
  async exchange(version: 'TLSv1.2' | 'TLSv1.3', size: number): Promise<ktls.OffloadState> {
    const socket = await this.connect(version);
    const state = socket.offload;
    await echo(socket, size);
    socket.destroy();
    return state;
  }
}

/**
 * A connection to a server here, whose client is node:tls at the far end, with its defaults. It sends a
 * thousand bytes, and says whether they came back.
 */
export async function acceptFarClient(
  options: tls.TlsOptions,
): Promise<{ socket: ktls.ServerSocket; program: FarProgram } & AsyncDisposable> {
  const server = ktls.createServer({ ...ecdsaCertificate(), ...options });
  server.listen(0, card.address);
  await once(server, 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[ktls.ServerSocket]>;
  const { port } = server.address() as AddressInfo;
  const program = FarProgram.node(`
    const tls = await import('node:tls');
    const sent = (await import('node:crypto')).randomBytes(1000);
    const target = { host: '${card.address}', port: ${port}, rejectUnauthorized: false };
    const socket = tls.connect(target, () => socket.write(sent));
    const chunks = [];
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      const received = Buffer.concat(chunks);
      if (received.length >= sent.length) console.log('equal', received.equals(sent));
    });
  `);
  const [socket] = await accepted;
  return {
    socket,
    program,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      server.close();
      await program[Symbol.asyncDispose]();
    },
  };
}

/** Sends so many bytes, and compares what comes back. */
export async function echo(socket: ktls.ClientSocket, size: number): Promise<void> {
  const sent = randomBytes(size);
  socket.write(sent);
  expect(digest(await readExactly(socket, size))).toBe(digest(sent));
}

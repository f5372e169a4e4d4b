/** The kinds of connections of a soak, as a client has them. */
import { once } from 'node:events';
import * as nodeHttps from 'node:https';
import * as net from 'node:net';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import ktls, { type OffloadedSocket } from 'ktls';
import https from 'ktls/https';
import { MOST, type SoakPorts } from './protocol.js';

/** How a connection is made. */
export interface Variant {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** Under kernel TLS, or by node:tls. */
  readonly offloads: boolean;
  readonly resumes: boolean;
}

/** What came of it. */
export interface Outcome {
  readonly received: number;
  readonly secured: boolean;
  readonly resumed: boolean;
}

/** Of each server and way to connect, the newest session. */
const sessions = new Map<string, Buffer>();

class Client {
  readonly socket: tls.TLSSocket;
  /** The server's side is over, well or not. */
  readonly ended: Promise<unknown>;
  readonly #closed: Promise<unknown>;
  #secured = false;
  #resumed = false;
  #received = 0;
  #waiting: { bytes: number; resolve: () => void } | null = null;

  constructor(port: number, { version, offloads, resumes }: Variant, allowHalfOpen = false) {
    const way = `${port} ${version} ${String(offloads)}`;
    const session = resumes ? sessions.get(way) : undefined;
    const options = {
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      allowHalfOpen,
      ...(session === undefined ? {} : { session }),
    };
    const socket = offloads ? ktls.connect(options) : tls.connect(options);
    this.socket = socket;
    this.#closed = new Promise((resolve) => socket.on('close', resolve));
    this.ended = Promise.race([
      this.#closed,
      new Promise<void>((resolve) => socket.on('end', resolve)),
    ]);
    socket.on('session', (newest: Buffer) => sessions.set(way, newest));
    socket.on('secureConnect', () => {
      this.#secured = true;
      this.#resumed = socket.isSessionReused();
      if (offloads && !(socket as OffloadedSocket).offload.offloaded) {
        throw new Error('a connection under kernel TLS is not');
      }
    });
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      if (this.#waiting !== null && this.#received >= this.#waiting.bytes) this.#waiting.resolve();
    });
    socket.on('error', () => undefined);
  }

  ask(verb: string, bytes: number): void {
    this.socket.write(`${verb} ${bytes}\n`);
  }

  /** Settled when so many bytes in all have come. */
  async receive(bytes: number): Promise<void> {
    if (this.#received < bytes) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#waiting = { bytes, resolve })),
        this.#closed,
      ]);
    }
    if (this.#received < bytes) throw new Error(`${this.#received} bytes of ${bytes} came`);
  }

  async closed(): Promise<Outcome> {
    await this.#closed;
    return { received: this.#received, secured: this.#secured, resumed: this.#resumed };
  }
}

const nothing: Outcome = { received: 0, secured: false, resumed: false };

/** A request, its whole answer, and then the end that the server began. */
async function fetch(port: number, variant: Variant, verb: string, bytes: number) {
  const client = new Client(port, variant);
  client.ask(verb, bytes);
  await client.receive(bytes);
  return client.closed();
}

/** A TCP connection that says no more than this. */
async function speechless(port: number, words: Buffer, end: (socket: net.Socket) => void) {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await once(socket, 'connect');
  socket.write(words, () => end(socket));
  await closed;
  return nothing;
}

/** The beginning of a ClientHello that announces 512 bytes. */
const HELLO = Buffer.from('160301020001', 'hex');

type Kind = (ports: SoakPorts, variant: Variant) => Promise<Outcome>;

export const kinds: Readonly<Record<string, Kind>> = {
  'a request, ended by the server': (ports, variant) => fetch(ports.tls, variant, 'data', 1024),
  'a file': (ports, variant) => fetch(ports.tls, variant, 'file', 64 * 1024),
  'requests, ended by the client': async (ports, variant) => {
    const client = new Client(ports.tls, variant);
    for (let i = 1; i <= 3; i++) {
      client.ask('keep', 200);
      await client.receive(i * 200);
    }
    client.socket.end();
    return client.closed();
  },
  'an HTTP request': async ({ https: port }, { version, offloads }) => {
    const { get } = offloads ? https : nodeHttps;
    const request = get({
      port,
      host: '127.0.0.1',
      path: '/2000',
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      headers: { connection: 'close' },
    });
    const closed = new Promise((resolve) => request.on('close', resolve));
    const [response] = (await once(request, 'response')) as [Duplex];
    let received = 0;
    for await (const chunk of response) received += (chunk as Buffer).length;
    await closed;
    return { received, secured: true, resumed: false };
  },
  'reset by the server': async (ports, variant) => {
    const client = new Client(ports.tls, variant);
    client.ask('reset', 100);
    return client.closed();
  },
  'destroyed by the server': async (ports, variant) => {
    const client = new Client(ports.tls, variant);
    client.ask('destroy', 100);
    return client.closed();
  },
  'reset by the client': async (ports, variant) => {
    const client = new Client(ports.tls, variant);
    client.ask('keep', 100);
    await client.receive(100);
    // A socket of node:tls cannot in Node 20: it only destroys.
    if (variant.offloads) client.socket.resetAndDestroy();
    else client.socket.destroy();
    return client.closed();
  },
  'destroyed by the client in the middle of a file': async (ports, variant) => {
    const client = new Client(ports.tls, variant);
    client.ask('file', MOST);
    await client.receive(1);
    client.socket.destroy();
    return client.closed();
  },
  'half open, destroyed by the server': async (ports, variant) => {
    const client = new Client(ports.halfOpen, variant, true);
    client.ask('half', 100);
    client.socket.end();
    await client.receive(100);
    await client.ended;
    client.socket.destroy();
    return client.closed();
  },
  'half open, destroyed by the client': async (ports, variant) => {
    const client = new Client(ports.halfOpen, variant, true);
    client.ask('late', MOST);
    client.socket.end();
    await client.receive(1);
    client.socket.destroy();
    return client.closed();
  },
  'given up in the handshake': async (ports, variant) => {
    const client = new Client(ports.tls, { ...variant, resumes: false });
    client.socket.once('keylog', () => setImmediate(() => client.socket.destroy()));
    return client.closed();
  },
  'broken off in the ClientHello': (ports, { offloads }) =>
    speechless(ports.tls, HELLO, (socket) => {
      if (offloads) socket.destroy();
      else socket.resetAndDestroy();
    }),
};

const names = Object.keys(kinds);

/** So many connections are as many of each kind in each variant. */
export const CYCLE = names.length * 16;

/** The nth connection. Three of four resume a session. */
export function connection(n: number): { name: string; variant: Variant } {
  const variant = Math.floor(n / names.length);
  return {
    name: names[n % names.length]!,
    variant: {
      version: variant & 1 ? 'TLSv1.2' : 'TLSv1.3',
      offloads: (variant & 2) !== 0,
      resumes: (variant & 12) !== 0,
    },
  };
}

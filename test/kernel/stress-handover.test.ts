/**
 * The hand-over from node:tls to the kernel neither loses, repeats nor reorders a byte, whenever
 * application data comes: the client writes before the handshake is done, the server in the very moment it
 * is, so that both race with the Finished messages; in random pieces, to readers of every kind.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type * as tls from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import {
  type AnySocket,
  type Side,
  connectTo,
  digest,
  isOffloaded,
  listen,
} from '../support/connection.js';
import { consume } from '../support/consume.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { type Version, versions } from '../support/scripted.js';
import { type Progress, randomFor, times, trials } from '../support/stress.js';
import { type TcpBuffers, setTcpBuffers } from '../support/tcp-buffers.js';
import type { Random } from '../unit/tls/random.js';

const COUNT = times(24);
const AT_ONCE = 20;
/** Of the servers' random generators: far from those of the trials. */
const SERVERS = 1_000_000;

const pairings: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];

/** What one side sent, and what it received in the end. */
interface Account {
  readonly sent: string;
  readonly received: Promise<string>;
  readonly offloaded: boolean;
}

/**
 * Mostly so little that it travels with the Finished, sometimes more than one read takes; in pieces of
 * which there are not more than a slow reader gets through while others are at it.
 */
function somePieces(random: Random): Buffer[] {
  const most = [1, 100, 3000, 20_000, 90_000][random.below(5)]!;
  const data = Buffer.alloc(1 + random.below(most), random.bytes(1009));
  const longest = [40, 1500, 17_000][random.below(3)]!;
  return random.pieces(data, Math.max(longest, data.length >> 7));
}

/** Writes everything and ends: some of it at once, some in later turns of the loop. */
async function produce(socket: AnySocket, pieces: Buffer[], random: Random): Promise<void> {
  const patience = random.below(3);
  for (const piece of pieces) {
    socket.write(piece);
    if (patience === 1 && random.below(4) === 0) await new Promise(setImmediate);
    if (patience === 2 && random.below(8) === 0) await sleep(random.below(4));
  }
  socket.end();
}

class Server {
  readonly listener: tls.Server;
  readonly port: number;
  readonly #accounts = new Map<string, Account>();
  #accepted = 0;
  #arrived: (() => void)[] = [];

  private constructor(listener: tls.Server, port: number, side: Side) {
    this.listener = listener;
    this.port = port;
    listener.on('secureConnection', (socket: AnySocket) => {
      const random = randomFor(SERVERS + this.#accepted++);
      const pieces = somePieces(random);
      const received = consume(socket, random);
      received.catch(() => undefined);
      void produce(socket, pieces, random);
      const offloaded = side === 'node' || isOffloaded(socket);
      this.#accounts.set(socket.servername as string, {
        sent: digest(Buffer.concat(pieces)),
        received,
        offloaded,
      });
      for (const arrived of this.#arrived.splice(0)) arrived();
    });
  }

  static async open(side: Side, version: Version): Promise<Server> {
    const limits = { minVersion: version, maxVersion: version, allowHalfOpen: true };
    const { listener, port } = await listen(side, limits);
    return new Server(listener, port, side);
  }

  /**
   * The account of the connection that was made under this name. Its port would not tell it: a port is free
   * for the next when both sides have sent FIN, however much the client still has to read.
   */
  async account(servername: string): Promise<Account> {
    for (;;) {
      const account = this.#accounts.get(servername);
      if (account !== undefined) {
        this.#accounts.delete(servername);
        return account;
      }
      await new Promise<void>((resolve) => this.#arrived.push(resolve));
    }
  }

  async close(): Promise<void> {
    this.listener.close();
    await once(this.listener, 'close');
  }
}

async function handOver(
  server: Server,
  side: Side,
  version: Version,
  servername: string,
  random: Random,
  progress: Progress,
): Promise<string | null> {
  const pieces = somePieces(random);
  const client = connectTo(server.port, side, {
    minVersion: version,
    maxVersion: version,
    allowHalfOpen: true,
    servername,
    ...(random.below(2) === 0 ? { highWaterMark: 1 + random.below(2000) } : {}),
  } as tls.ConnectionOptions);
  const closed = new Promise((resolve) => client.once('close', resolve));
  const received = consume(client, random);
  void produce(client, pieces, random);
  progress.now = 'while the client receives';
  const atClient = await received;
  progress.now = 'before the server has accepted';
  const account = await server.account(servername);
  progress.now = 'while the server receives';
  const atServer = await account.received;
  const offloaded = account.offloaded && (side === 'node' || isOffloaded(client));
  progress.now = 'before the client is closed';
  await closed;
  if (!offloaded) return 'not offloaded';
  if (atClient !== account.sent) return 'the client received something else';
  return atServer === digest(Buffer.concat(pieces)) ? null : 'the server received something else';
}

let restore: (() => void) | null = null;
afterEach(() => {
  restore?.();
  restore = null;
});

/** Receive buffers of both ends, servers' and clients', that hold less than a record. */
const small: TcpBuffers = { wmem: '4096 65536 65536', rmem: '4096 4096 4096' };

function itArrives(version: Version, what: string, buffers: TcpBuffers | null, count: number) {
  const title = `arrives whole in both directions${what} (${version}, ${count} times)`;
  it(title, { timeout: 3_600_000 }, async (context) => {
    if (buffers !== null) {
      restore = setTcpBuffers(buffers);
      if (restore === null) return context.skip();
    }
    const sockets = openSockets();
    const before = stats()!;
    const servers = {
      ktls: await Server.open('ktls', version),
      node: await Server.open('node', version),
    };
    await trials(count, AT_ONCE, async (random, number, progress) => {
      const [server, client] = pairings[number % pairings.length]!;
      const name = `trial-${number}.example`;
      const outcome = await handOver(servers[server], client, version, name, random, progress);
      return outcome && `${server} server, ${client} client: ${outcome}`;
    });
    await servers.ktls.close();
    await servers.node.close();

    await onlyOpen(sockets);
    const after = stats()!;
    expect(after['TlsDecryptError']).toBe(before['TlsDecryptError']);
    // Two connections in three have one end under kernel TLS, the third has both.
    const ends = pairings.flat().filter((side) => side === 'ktls').length;
    const full = Math.floor(count / pairings.length) * ends;
    expect(after['TlsTxSw']! - before['TlsTxSw']!).toBeGreaterThanOrEqual(full);
    expect(after['TlsCurrTxSw']).toBe(before['TlsCurrTxSw']);
    expect(after['TlsCurrRxSw']).toBe(before['TlsCurrRxSw']);
  });
}

describeKernel('application data that races with Finished', () => {
  for (const version of versions) {
    itArrives(version, '', null, COUNT);
    itArrives(version, ' through small receive buffers', small, Math.ceil(COUNT / 4));
  }
});

/**
 * Transfers over networks that lose, reorder, repeat and delay packets, and through windows of a few
 * bytes: both ends are under kernel TLS, move the same amount at the same time, and must have it whole,
 * with close_notify behind it and no record that the kernel could not decrypt.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { OffloadedSocket } from '../../lib/index.js';
import { tlsCounters } from '../../lib/kernel/counters.js';
import { type AnySocket, connectPair, digest } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { clampWindows, spoil } from '../support/netem.js';
import { Scratch } from '../support/scratch.js';
import { versions } from '../support/scripted.js';
import { setTcpBuffers } from '../support/tcp-buffers.js';
import { Random } from '../unit/tls/random.js';

const MiB = 2 ** 20;
const AMOUNT = Number(process.env['KTLS_RELIABILITY_MIB'] ?? 4) * MiB;
/** Through a keyhole a byte takes as long as a packet. */
const LITTLE = AMOUNT / 16;

/** Each returns how to undo it. `netem`: whether packets must have been sent again. */
const networks: readonly {
  name: string;
  amount: number;
  lossy?: boolean;
  spoil: () => () => void;
}[] = [
  { name: 'loses 2 % of the packets', amount: AMOUNT, lossy: true, spoil: () => spoil('loss 2%') },
  {
    name: 'reorders a quarter of them',
    amount: AMOUNT,
    spoil: () => spoil('delay 1ms reorder 25% 50%'),
  },
  { name: 'repeats a tenth of them', amount: AMOUNT, spoil: () => spoil('duplicate 10%') },
  {
    name: 'takes 10 ms, give or take 5',
    amount: AMOUNT,
    spoil: () => spoil('delay 10ms 5ms distribution normal'),
  },
  {
    name: 'does all of this',
    amount: AMOUNT,
    lossy: true,
    spoil: () => spoil('delay 2ms 1ms loss 1% duplicate 2% reorder 10% 50%'),
  },
  {
    name: 'damages 1 % of them',
    amount: AMOUNT,
    lossy: true,
    spoil: () => spoil('corrupt 1%'),
  },
  { name: 'has windows of 2 KiB', amount: LITTLE, spoil: () => clampWindows(2048) },
  {
    name: 'has receive buffers of 4 KiB',
    amount: LITTLE,
    spoil: () => setTcpBuffers({ wmem: '4096 16384 65536', rmem: '4096 4096 4096' })!,
  },
];

const pieceLengths = [1, 100, 1400, 16_384, 16_385, 100_000];

function* pieces(data: Buffer): Generator<Buffer> {
  const random = new Random(data.length);
  for (let at = 0; at < data.length;) {
    const length = pieceLengths[random.below(pieceLengths.length)]!;
    yield data.subarray(at, at + length);
    at += length;
  }
}

const scratch = new Scratch();
let file = '';
let content: Buffer;

const ways: Readonly<Record<string, (socket: AnySocket, amount: number) => Promise<unknown>>> = {
  write: async (socket, amount) => {
    for (const piece of pieces(content.subarray(0, amount))) {
      if (!socket.write(piece)) await once(socket, 'drain');
    }
    socket.end();
  },
  pipe: (socket, amount) => pipeline(Readable.from(pieces(content.subarray(0, amount))), socket),
  sendFile: async (socket, amount) => {
    await (socket as OffloadedSocket).sendFile(file, { end: amount - 1 });
    socket.end();
  },
};

interface Received {
  readonly hash: string;
  readonly closeNotify: boolean;
}

async function receive(socket: AnySocket): Promise<Received> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  await once(socket, 'end');
  return {
    hash: hash.digest('hex'),
    closeNotify: (socket as OffloadedSocket).closeNotifyReceived,
  };
}

/** TCP's own count of packets sent again (`/proc/net/snmp`). */
function retransmitted(): number {
  const [names, values] = readFileSync('/proc/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp: '))
    .map((line) => line.split(' '));
  return Number(values![names!.indexOf('RetransSegs')]);
}

let undo: (() => void) | null = null;
beforeAll(() => {
  content = randomBytes(AMOUNT);
  file = scratch.write('file', content);
});
afterEach(() => {
  undo?.();
  undo = null;
});
afterAll(() => scratch.remove());

for (const { name, amount, lossy = false, spoil } of networks) {
  describeKernel(`over a network that ${name}`, () => {
    for (const version of versions) {
      for (const [way, send] of Object.entries(ways)) {
        const title = `${amount / MiB} MiB each way arrive by ${way} (${version})`;
        it(title, { timeout: 900_000 }, async () => {
          undo = spoil();
          const limits = { minVersion: version, maxVersion: version, allowHalfOpen: true };
          const before = { errors: tlsCounters()!['TlsDecryptError'], sent: retransmitted() };
          await using pair = await connectPair({ serverOptions: limits, clientOptions: limits });
          const { server, client } = pair;
          const [, , atServer, atClient] = await Promise.all([
            send(server, amount),
            send(client, amount),
            receive(server),
            receive(client),
          ]);

          const whole = { hash: digest(content.subarray(0, amount)), closeNotify: true };
          expect(atServer).toEqual(whole);
          expect(atClient).toEqual(whole);
          expect(tlsCounters()!['TlsDecryptError']).toBe(before.errors);
          // Else the network was not bad at all.
          if (lossy) expect(retransmitted()).toBeGreaterThan(before.sent);
        });
      }
    }
  });
}

/**
 * The last byte always arrives: a socket that ends while its records are still on their way loses none of
 * them, however slowly they are read and however little TCP takes at a time. With a close that does not
 * wait (lib/socket/closing.ts, no retry on EAGAIN) three trials in four fail with tiny buffers.
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, it } from 'vitest';
import { ContentType } from '../../lib/tls/constants.js';
import type { AnySocket } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import type { RecordPeer } from '../support/record-peer.js';
import { type Version, roles, scripted, versions } from '../support/scripted.js';
import { times, trials } from '../support/stress.js';
import { type TcpBuffers, setTcpBuffers } from '../support/tcp-buffers.js';
import type { Random } from '../unit/tls/random.js';

const COUNT = times(8);
const AT_ONCE = 8;

const endings = ['end', 'end with data', 'destroySoon', 'end after the last callback'] as const;
const readers = ['fast', 'slow', 'stalled'] as const;
type Ending = (typeof endings)[number];
type Reader = (typeof readers)[number];

const pick = <T>(random: Random, among: readonly T[]): T => among[random.below(among.length)]!;

let restore: (() => void) | null = null;
afterEach(() => {
  restore?.();
  restore = null;
});

/** Reads in the peer's place, and none too eagerly. */
async function readAs(reader: Reader, socket: Socket, random: Random): Promise<void> {
  if (reader === 'stalled') {
    socket.pause();
    await sleep(20 + random.below(200));
    socket.resume();
  } else if (reader === 'slow') {
    socket.on('data', () => {
      socket.pause();
      setTimeout(() => socket.resume(), random.below(4));
    });
  }
}

function writeAll(socket: AnySocket, data: Buffer, ending: Ending, random: Random): void {
  const longest = pick(random, [300, 5000, 40_000]);
  const pieces = random.pieces(data, longest);
  const last = ending === 'end with data' ? pieces.pop() : undefined;
  const corked = random.below(3) === 0;
  if (corked) socket.cork();
  for (const piece of pieces) socket.write(piece);
  if (corked) socket.uncork();
  if (ending === 'destroySoon') socket.destroySoon();
  else if (ending === 'end after the last callback') socket.write('', () => socket.end());
  else if (last === undefined) socket.end();
  else socket.end(last);
}

/** What is missing from what the peer received, if anything. */
function judge(peer: RecordPeer, sent: Buffer, ended: 'fin' | 'reset'): string | null {
  const got = peer.receivedData;
  if (!got.equals(sent)) return `${sent.length} bytes sent, ${got.length} arrived`;
  const last = peer.received.at(-1);
  if (last?.type !== ContentType.alert || last.payload.compare(Buffer.of(1, 0)) !== 0) {
    return 'close_notify is missing';
  }
  return ended === 'fin' ? null : 'reset instead of FIN';
}

async function close(version: Version, most: number, random: Random): Promise<string | null> {
  const role = pick(random, roles);
  const ending = pick(random, endings);
  const reader = pick(random, readers);
  const allowHalfOpen = random.below(2) === 0;
  const data = Buffer.alloc(1 + random.below(most), random.bytes(997));
  await using scene = await scripted(role, version, { allowHalfOpen });
  const { peer, socket } = scene;
  const errors: string[] = [];
  socket.on('error', (error) => errors.push(String(error)));
  socket.resume();
  const reading = readAs(reader, peer.socket, random);
  writeAll(socket, data, ending, random);
  const ended = await peer.untilEnded();
  await reading;
  const outcome = errors[0] ?? judge(peer, data, ended);
  return outcome && `${role}, ${ending}, ${reader}: ${outcome}`;
}

function itArrives(name: string, buffers: TcpBuffers | null, most: number): void {
  for (const version of versions) {
    it(`with ${name} (${version}, ${COUNT} times)`, { timeout: 1_200_000 }, async (context) => {
      if (buffers !== null) {
        restore = setTcpBuffers(buffers);
        if (restore === null) return context.skip();
      }
      await trials(COUNT, AT_ONCE, (random) => close(version, most, random));
    });
  }
}

describeKernel('the last byte arrives, then close_notify, then FIN', () => {
  itArrives('TCP as it is', null, 200_000);
  itArrives('tiny buffers', { wmem: '4096 4608 4608', rmem: '4096 4096 4096' }, 60_000);
  itArrives(
    'a large send buffer',
    { wmem: '4096 1048576 1048576', rmem: '4096 8192 8192' },
    200_000,
  );
  itArrives(
    'a small send buffer',
    { wmem: '4096 16384 16384', rmem: '4096 131072 131072' },
    200_000,
  );
});

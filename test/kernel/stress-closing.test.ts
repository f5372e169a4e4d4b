/**
 * The last byte always arrives: a socket that ends while its records are still on their way loses none of
 * them, however slowly they are read and however little TCP takes at a time. With a close that does not
 * wait (lib/socket/closing.ts, no retry on EAGAIN) three trials in four fail with tiny buffers.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, it } from 'vitest';
import { sendFile } from '../../lib/index.js';
import { ContentType } from '../../lib/tls/constants.js';
import { type AnySocket, isOffloaded } from '../support/connection.js';
import { patternless } from '../support/content.js';
import { serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { RecordPeer, data } from '../support/record-peer.js';
import { Scratch } from '../support/scratch.js';
import { type Version, roles, scripted, versions } from '../support/scripted.js';
import { type Progress, times, trials } from '../support/stress.js';
import { type TcpBuffers, limitTcpBuffers } from '../support/tcp-buffers.js';
import type { Random } from '../unit/tls/random.js';

const COUNT = times(6);
const AT_ONCE = 8;
const MOST = 200_000;

const scratch = new Scratch();
const content = patternless(MOST);
const file = scratch.write('file', content);
afterAll(() => scratch.remove());

const endings = ['end', 'end with data', 'destroySoon', 'end after the last callback'] as const;
const readers = ['fast', 'slow', 'stalled'] as const;
type Ending = (typeof endings)[number];
type Reader = (typeof readers)[number];

const pick = <T>(random: Random, among: readonly T[]): T => among[random.below(among.length)]!;

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
function judge(peer: RecordPeer, got: Buffer, sent: Buffer, ended: 'fin' | 'reset'): string | null {
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
  const sent = Buffer.alloc(1 + random.below(most), random.bytes(997));
  await using scene = await scripted(role, version, { allowHalfOpen });
  const { peer, socket } = scene;
  const errors: string[] = [];
  socket.on('error', (error) => errors.push(String(error)));
  socket.resume();
  const reading = readAs(reader, peer.socket, random);
  writeAll(socket, sent, ending, random);
  const ended = await peer.untilEnded();
  await reading;
  const outcome = errors[0] ?? judge(peer, peer.receivedData, sent, ended);
  return outcome && `${role}, ${ending}, ${reader}: ${outcome}`;
}

/** How long a body is, as HTTP has it: `close` is HTTP/1.0's, where only the end of the connection says so. */
const framings = ['content-length', 'chunked', 'close'] as const;
const writers = ['end', 'write', 'pipe', 'sendFile'] as const;

async function respond(
  response: ServerResponse,
  body: Buffer,
  writer: (typeof writers)[number],
  random: Random,
): Promise<void> {
  const pieces = random.pieces(body, pick(random, [300, 5000, 40_000]));
  if (writer === 'pipe') Readable.from(pieces.filter(({ length }) => length > 0)).pipe(response);
  else if (writer === 'end') response.end(body);
  else {
    if (writer === 'sendFile') await sendFile(response, file, { end: body.length - 1 });
    else for (const piece of pieces) response.write(piece);
    response.end();
  }
}

/** The body of a message that ended with its connection. */
function bodyOf(message: Buffer): Buffer {
  const head = message.indexOf('\r\n\r\n') + 4;
  const rest = message.subarray(head);
  const chunked = /^transfer-encoding: chunked\r$/im.test(message.toString('latin1', 0, head));
  if (!chunked || !rest.subarray(-7).equals(Buffer.from('\r\n0\r\n\r\n'))) return rest;
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const line = rest.indexOf('\r\n', at);
    const length = parseInt(rest.toString('latin1', at, line), 16);
    if (!(length > 0)) return Buffer.concat(chunks);
    at = line + 2;
    chunks.push(rest.subarray(at, at + length));
    at += length + 2;
  }
}

/** The same at the end of an HTTP response: the server ends the connection when it is through. */
async function answer(
  version: Version,
  most: number,
  random: Random,
  progress: Progress,
): Promise<string | null> {
  const framing = pick(random, framings);
  const writer = pick(random, writers);
  const reader = pick(random, readers);
  const body = content.subarray(0, 1 + random.below(most));
  const limits = { minVersion: version, maxVersion: version };
  const failures: string[] = [];
  progress.now = `behind ${framing}, ${writer}, ${reader}, ${body.length} bytes`;
  await using serving = await serve(
    (_, response) => {
      if (framing === 'content-length') response.setHeader('content-length', body.length);
      respond(response, body, writer, random).catch((error: unknown) =>
        failures.push(String(error)),
      );
    },
    { options: limits },
  );
  await using peer = await RecordPeer.connect(serving.port, limits);
  const protocol = framing === 'close' ? 'HTTP/1.0' : 'HTTP/1.1';
  peer.send(data(`GET / ${protocol}\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
  const reading = readAs(reader, peer.socket, random);
  const ended = await peer.untilEnded();
  await reading;
  const got = bodyOf(peer.receivedData);
  const outcome = failures[0] ?? judge(peer, got, body, ended);
  if (!serving.accepted.every(isOffloaded)) return 'not offloaded';
  return outcome && `${framing}, ${writer}, ${reader}: ${outcome}`;
}

function itArrives(
  trial: typeof answer,
  name: string,
  buffers: TcpBuffers | null,
  most: number,
): void {
  for (const version of versions) {
    it(`with ${name} (${version}, ${COUNT} times)`, { timeout: 1_200_000 }, async (context) => {
      if (buffers !== null) limitTcpBuffers(context, buffers);
      await trials(COUNT, AT_ONCE, (random, _, progress) => trial(version, most, random, progress));
    });
  }
}

for (const [what, trial] of [
  ['the last byte arrives, then close_notify, then FIN', close],
  ['so it does behind an HTTP response with Connection: close', answer],
] as const) {
  describeKernel(what, () => {
    itArrives(trial, 'TCP as it is', null, MOST);
    itArrives(trial, 'tiny buffers', { wmem: '4096 4608 4608', rmem: '4096 4096 4096' }, 60_000);
    const large = { wmem: '4096 1048576 1048576', rmem: '4096 8192 8192' };
    itArrives(trial, 'a large send buffer', large, MOST);
    const small = { wmem: '4096 16384 16384', rmem: '4096 131072 131072' };
    itArrives(trial, 'a small send buffer', small, MOST);
  });
}

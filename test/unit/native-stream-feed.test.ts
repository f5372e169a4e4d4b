/** The addon in the place of libuv's reading, on plain TCP: there every byte counts as data. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { constants } from 'node:os';
import type { Socket } from 'node:net';
import { setImmediate as immediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as node from '../../lib/node-private.js';
import { StreamReceiver } from '../../lib/socket/stream-receiver.js';
import { Link } from '../support/native.js';
import { TcpEnd } from '../support/tcp-state.js';

const { ECONNRESET, ENOBUFS } = constants.errno;

let link: Link;
let receiver: StreamReceiver;
let told: string[];
let delivered: number;

/** Feeds the accepted end as `OffloadedSocket` feeds itself. */
function feed(socket: Socket, toTheEnd: boolean): void {
  const handle = node.handleOf(socket)!;
  node.claimReading(handle);
  const sink = {
    delivered: (bytes: number) => void (delivered += bytes),
    control: (type: number) => (told.push(`control ${type}`), false),
    forbidden: () => void told.push('forbidden'),
    end: () => {
      told.push('end');
      socket.push(null);
      socket.read(0);
    },
    failed: (result: number) => void told.push(`failed ${result}`),
    waiting: (waits: boolean) => void told.push(waits ? 'waits' : 'rests'),
  };
  receiver = node.whileReading(handle, () => StreamReceiver.of(link.channel, sink, toTheEnd))!;
  node.feedBy(handle, { read: () => receiver.start(), pause: () => receiver.pause() });
  node.closeFirst(handle, link.channel);
}

/** Has all that is read put there, in the place of buffers of libuv's. */
function useBuffer(handle: object, bytes: number): void {
  (handle as { useUserBuffer(buffer: Uint8Array): void }).useUserBuffer(new Uint8Array(bytes));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await immediate();
}

beforeEach(async () => {
  told = [];
  delivered = 0;
  link = await Link.open();
});

afterEach(() => link[Symbol.asyncDispose]());

describe.each([false, true])('A fed stream, read to the end: %s', (toTheEnd) => {
  beforeEach(() => feed(link.socket, toTheEnd));

  it("gives the socket's reader what comes, and then the end", async () => {
    const sent = Buffer.alloc(3_000_000, 'feed');
    const parts: Buffer[] = [];
    link.socket.on('data', (part: Buffer) => parts.push(part)).resume();
    link.peer.end(sent);
    await once(link.socket, 'end');
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    expect(delivered).toBe(sent.length);
    expect(told).toEqual(['waits', 'rests', 'end']);
    expect(node.bytesRead(link.socket)).toBe(sent.length);
  });

  it('leaves in the kernel what a paused reader does not want', async () => {
    link.socket.read(0);
    link.peer.end(Buffer.alloc(1_000_000));
    await until(() => told.includes('rests'));
    const { readableLength } = link.socket;
    expect(readableLength).toBeLessThan(200_000);
    for (let i = 0; i < 5; i++) await immediate();
    expect(link.socket.readableLength).toBe(readableLength);
    let bytes = 0;
    link.socket.on('data', (part: Buffer) => (bytes += part.length)).resume();
    await once(link.socket, 'end');
    expect(bytes).toBe(1_000_000);
  });

  it('gives what had come before anybody wanted it', async () => {
    link.peer.write('early');
    await new TcpEnd(link.peer).delivered();
    link.socket.resume();
    const [part] = (await once(link.socket, 'data')) as [Buffer];
    expect(part.toString()).toBe('early');
  });

  it('feeds the HTTP parser in native code', async () => {
    const server = createServer((request, response) => {
      let bytes = 0;
      request.on('data', (part: Buffer) => (bytes += part.length));
      request.on('end', () => response.end(String(bytes)));
    });
    server.emit('connection', link.socket);
    link.socket.resume();
    expect(link.socket).toHaveProperty('_handle._consumed', true);
    const body = 'x'.repeat(500_000);
    link.peer.resume();
    for (let i = 0; i < 2; i++) {
      link.peer.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      const [answer] = (await once(link.peer, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*500000$/);
    }
  });

  it('outlives a reader that destroys the socket within its data', async () => {
    let parts = 0;
    link.socket.on('data', () => {
      parts++;
      link.socket.destroy();
    });
    link.socket.resume();
    link.peer.write(Buffer.alloc(1_000_000));
    await once(link.socket, 'close');
    await immediate();
    expect(parts).toBe(1);
    expect(told).toEqual(['waits']);
  });

  it('tells of a reset', async () => {
    link.socket.resume();
    await immediate();
    link.peer.resetAndDestroy();
    await until(() => told.length > 2);
    expect(told).toEqual(['waits', 'rests', `failed -${ECONNRESET}`]);
  });
});

it('takes in no more of forbidden data than it has room for', async () => {
  const { channel, socket, peer } = link;
  const handle = node.handleOf(socket)!;
  node.claimReading(handle);
  const got: [result: number, payload: Buffer][] = [];
  const other = (result: number, payload: Buffer): boolean => {
    got.push([result, payload]);
    if (result < 0) useBuffer(handle, 64 * 1024);
    else channel.stopReading();
    return result < 0;
  };
  expect(node.whileReading(handle, () => channel.feedStream(other, 0))).toBe(0);
  node.closeFirst(handle, channel);
  // On plain TCP nothing else than a buffer that is too small makes data forbidden.
  useBuffer(handle, 100);
  const sent = Buffer.alloc(70_000, 'forbidden');
  peer.write(sent);
  await new TcpEnd(peer).delivered();
  channel.startReading();
  await until(() => got.length > 1);
  expect(got.map(([result]) => result)).toEqual([-ENOBUFS, got[1]![1].length]);
  expect(got[1]![1].equals(sent.subarray(0, 16 * 1024))).toBe(true);
});

it('finds no stream where libuv does not read', () => {
  expect(link.channel.feedStream(() => false, 0)).toBe(-constants.errno.ENOENT);
});

it('tells of room to write while that is asked for', async () => {
  await link.seen(0x4);
  expect(link.channel.watchWritable(0)).toBe(0);
  await link.deliver(Buffer.from('a'));
  expect(link.events.at(-1)! & 0x4).toBe(0);
  link.events.length = 0;
  expect(link.channel.watchWritable(1)).toBe(0);
  await link.seen(0x4);
});

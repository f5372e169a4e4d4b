/**
 * A file is one of many things that a connection, and a process, has to do: it keeps the connection from
 * being idle, holds back what is written behind it, and leaves other connections their turn.
 */
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import type { OffloadedSocket } from '../../lib/index.js';
import { type Pair, connectPair, digest, readAll, readExactly } from '../support/connection.js';
import { patternless } from '../support/content.js';
import { describeKernel } from '../support/kernel.js';
import { openFiles } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { versions } from '../support/scripted.js';
import { limitTcpBuffers, narrow } from '../support/tcp-buffers.js';

const MIB = 2 ** 20;
const scratch = new Scratch();
afterAll(() => scratch.remove());
const content = patternless(MIB);
const file = scratch.write('file', content);
/** More than anybody can send in the time that a test takes. */
const endless = scratch.write('endless', '');
truncateSync(endless, 2 ** 40);

const pair = (options: Parameters<typeof connectPair>[0] = {}): Promise<Pair> =>
  connectPair({ client: 'node', ...options });
const ours = ({ server }: Pair): OffloadedSocket => server as OffloadedSocket;

/** Waits until the socket sends no more, since nobody reads. */
async function stuck(socket: OffloadedSocket): Promise<void> {
  let written = -1;
  await expect
    .poll(() => written === (written = socket.bytesWritten) && written > 0, { interval: 50 })
    .toBe(true);
}

describeKernel('while a file is sent', () => {
  it('the idle timeout starts again whenever it gets on, and only then', async (context) => {
    limitTcpBuffers(context, narrow);
    await using connection = await pair();
    const socket = ours(connection);
    const { client } = connection;
    client.pause();
    const TIMEOUT = 1500;
    let idle = 0;
    socket.on('timeout', () => idle++);
    socket.setTimeout(TIMEOUT);
    const begun = performance.now();
    const sent = socket.sendFile(endless);
    sent.catch(() => undefined);
    // A slow reader, for longer than the timeout.
    while (performance.now() - begun < 2 * TIMEOUT) {
      const before = socket.bytesWritten;
      while (socket.bytesWritten === before) await readExactly(client, 10_000);
      await sleep(TIMEOUT / 10);
    }
    expect(idle).toBe(0);
    // One that stops.
    await once(socket, 'timeout');
    socket.on('error', () => undefined);
    socket.destroy();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
  });

  it('what is written behind it drains when it is through', async (context) => {
    limitTcpBuffers(context, narrow);
    await using connection = await pair();
    const socket = ours(connection);
    const events: string[] = [];
    socket.on('drain', () => events.push('drain'));
    connection.client.pause();
    const sent = socket.sendFile(file).then((bytes) => events.push(`sent ${bytes}`));
    expect(socket.writableNeedDrain).toBe(false);
    await stuck(socket);
    expect(socket.write(Buffer.alloc(100_000, 'x'))).toBe(false);
    expect(socket.writableLength).toBe(100_000);
    await stuck(socket);
    expect(events).toEqual([]);
    const got = await readExactly(connection.client, content.length + 100_000);
    expect(digest(got.subarray(0, content.length))).toBe(digest(content));
    expect(got.subarray(content.length).equals(Buffer.alloc(100_000, 'x'))).toBe(true);
    await sent;
    await expect.poll(() => events).toEqual([`sent ${content.length}`, 'drain']);
    expect(socket.writableNeedDrain).toBe(false);
    expect(socket.write('more')).toBe(true);
  });

  for (const version of versions) {
    it(`a send buffer that a record fills does not stop it (${version})`, async (context) => {
      // Up to Linux 6.4 TCP holds the record back for a segment that cannot become full.
      const buffers = { wmem: '4096 16384 16384', rmem: '4096 131072 131072' };
      limitTcpBuffers(context, buffers);
      await using connection = await pair({ clientOptions: { maxVersion: version } });
      const part = content.subarray(0, 300_000);
      const sent = ours(connection).sendFile(file, { end: part.length - 1 });
      expect(digest(await readExactly(connection.client, part.length))).toBe(digest(part));
      expect(await sent).toBe(part.length);
    });
  }

  it('a writer that waits for drain never has more than one piece in memory', async () => {
    await using connection = await pair();
    const socket = ours(connection);
    const received = readAll(connection.client);
    // As much as it takes for a write to ask for a pause.
    const piece = Buffer.alloc(socket.writableHighWaterMark, 'x');
    const sent: Promise<number>[] = [];
    let drained = 0;
    for (let i = 0; i < 30; i++) {
      sent.push(socket.sendFile(file, { start: i * 1000, end: i * 1000 + 49_999 }));
      if (!socket.write(piece)) {
        expect(socket.writableLength).toBeLessThanOrEqual(piece.length);
        await once(socket, 'drain');
        drained++;
      }
    }
    socket.end();
    expect(drained).toBeGreaterThan(0);
    const expected = sent.flatMap((_, i) => [content.subarray(i * 1000, i * 1000 + 50_000), piece]);
    expect(digest(await received)).toBe(digest(Buffer.concat(expected)));
    expect(await Promise.all(sent)).toEqual(sent.map(() => 50_000));
  });

  for (const [carrier, options] of [
    ['the kernel', {}],
    ['node:tls', { ciphers: 'ECDHE-ECDSA-AES128-SHA256', maxVersion: 'TLSv1.2' }],
  ] as const) {
    it(`others behind it can be taken back, and nothing else is (${carrier})`, async () => {
      await using connection = await pair({ serverOptions: options, clientOptions: options });
      const socket = ours(connection);
      connection.client.pause();
      const second = new AbortController();
      const sent = [
        socket.sendFile(file),
        socket.sendFile(file, { signal: second.signal }),
        socket.sendFile(file, { start: 5, end: 14 }),
      ] as const;
      socket.write('behind');
      second.abort();
      await expect(sent[1]).rejects.toMatchObject({ code: 'ABORT_ERR', name: 'AbortError' });
      const all = Buffer.concat([content, content.subarray(5, 15), Buffer.from('behind')]);
      expect(digest(await readExactly(connection.client, all.length))).toBe(digest(all));
      expect(await Promise.all([sent[0], sent[2]])).toEqual([content.length, 10]);
      // Nor is one that would be next, but is not open yet.
      const next = new AbortController();
      const never = socket.sendFile(file, { signal: next.signal });
      next.abort();
      await expect(never).rejects.toMatchObject({ code: 'ABORT_ERR' });
      socket.end('goes on');
      expect((await readAll(connection.client)).toString()).toBe('goes on');
      await expect.poll(() => openFiles(file)).toBe(0);
    });
  }

  for (const [readers, pause] of [
    ['fast', false],
    ['stopped', true],
  ] as const) {
    it(`small ones finish, however many large ones go to ${readers} readers`, async () => {
      // More than there are threads for files.
      const large = await Promise.all(Array.from({ length: 8 }, () => pair()));
      for (const { client } of large) {
        if (pause) client.pause();
        else client.resume();
      }
      let over = 0;
      const ended = large.map(async (one) => {
        ours(one).on('error', () => undefined);
        one.client.on('error', () => undefined);
        await ours(one)
          .sendFile(endless)
          .catch(() => undefined);
        over++;
      });
      for (const one of large) await expect.poll(() => ours(one).bytesWritten).toBeGreaterThan(0);
      // Those that go by way of the threads, and those that do not.
      for (const size of [1000, 100_000, 300_000]) {
        const small = await Promise.all(Array.from({ length: 3 }, () => pair()));
        const sent = small.map((one) => ours(one).sendFile(file, { end: size - 1 }));
        for (const { client } of small) {
          expect(digest(await readExactly(client, size))).toBe(digest(content.subarray(0, size)));
        }
        expect(await Promise.all(sent)).toEqual(small.map(() => size));
        await Promise.all(small.map((one) => one.close()));
      }
      expect(over).toBe(0);
      await Promise.all(large.map((one) => one.close()));
      await Promise.all(ended);
      await expect.poll(() => openFiles(endless)).toBe(0);
    });
  }

  it('each of many has got on when the first is through', async () => {
    const many = await Promise.all(Array.from({ length: 8 }, () => pair()));
    const received = many.map((one) => readExactly(one.client, content.length));
    const sent = many.map((one) => ours(one).sendFile(file, { highWaterMark: 32 * 1024 }));
    await Promise.race(sent);
    for (const one of many) expect(ours(one).bytesWritten).toBeGreaterThan(0);
    for (const data of await Promise.all(received)) expect(digest(data)).toBe(digest(content));
    expect(await Promise.all(sent)).toEqual(many.map(() => content.length));
    await Promise.all(many.map((one) => one.close()));
  });
});

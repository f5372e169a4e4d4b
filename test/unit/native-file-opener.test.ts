/** The addon's way with files: opened and described in the thread pool, and sent at once. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, openSync, statSync, truncateSync } from 'node:fs';
import { constants as os } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { openFiles } from '../support/leaks.js';
import { fdOf, native, runAlone, tcpPair } from '../support/native.js';
import { Scratch } from '../support/scratch.js';
import { TcpEnd } from '../support/tcp-state.js';

const { EAGAIN, EBADF, ENODATA, ENOENT, EPIPE } = os.errno;
const scratch = new Scratch();
afterAll(() => scratch.remove());

const content = randomBytes(300_000);
const file = scratch.write('file', content);

const ignore = (): undefined => undefined;

type Found = [fd: number, mode: number, size: number, local: boolean];

const opened = (path: string): Promise<Found> =>
  new Promise((resolve) => {
    expect(native().openFile(Buffer.from(path), (...found) => resolve(found))).toBe(0);
  });
const described = (fd: number): Promise<Found> =>
  new Promise((resolve) => {
    expect(native().describeFile(fd, (...found) => resolve(found))).toBe(0);
  });

test('opens a file and says what it is', async () => {
  const [fd, mode, size, local] = await opened(file);
  const stats = statSync(file);
  expect([mode, size, typeof local]).toEqual([stats.mode, stats.size, 'boolean']);
  expect(fstatSync(fd).ino).toBe(stats.ino);
  expect(openFiles(file)).toBe(1);
  native().close(fd);
  expect(openFiles(file)).toBe(0);
});

test('describes what is open already, and leaves it open', async () => {
  const fd = openSync(scratch.directory, 'r');
  const [same, mode, , local] = await described(fd);
  expect([same, mode & constants.S_IFMT, local]).toEqual([fd, constants.S_IFDIR, false]);
  fstatSync(fd);
  closeSync(fd);
});

test('names what is wrong', async () => {
  expect((await opened(scratch.path('absent')))[0]).toBe(-ENOENT);
  expect((await described(999_999))[0]).toBe(-EBADF);
});

test('takes a file system of somebody else for what it is', async () => {
  const [fd, , , local] = await opened('/proc/cpuinfo');
  expect(local).toBe(false);
  native().close(fd);
});

test('knows what is in the page cache', () => {
  const fd = openSync(file, 'r');
  // It has just been written.
  expect(native().isCached(fd, 0, content.length)).toBe(true);
  expect(native().isCached(fd, 4097, 1)).toBe(true);
  const sparse = scratch.write('sparse', '');
  truncateSync(sparse, 2 ** 32 + 10_000);
  const hole = openSync(sparse, 'r');
  expect(native().isCached(hole, 2 ** 32, 10_000)).toBe(false);
  for (const each of [fd, hole]) closeSync(each);
});

test('sends at once what the socket takes, and waits for nothing', async () => {
  const { peer, socket } = await tcpPair();
  const sparse = scratch.write('sent', '');
  truncateSync(sparse, 64 * 1024 * 1024);
  const fd = openSync(sparse, 'r');
  const fdOfSocket = fdOf(socket);
  const send = (position: number, length: number): number =>
    native().sendFileNow(fdOfSocket, fd, position, length);
  expect(send(5, 1000)).toBe(1000);
  const most: number = send(0, 64 * 1024 * 1024);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(64 * 1024 * 1024);
  // What is on its way may still make room.
  const end = new TcpEnd(socket);
  let sent = 1000 + most;
  for (;;) {
    const full = await end.isFull();
    const more = send(0, 64 * 1024 * 1024);
    if (full && more < 0) break;
    sent += Math.max(0, more);
    await sleep(1);
  }
  expect(send(0, 1)).toBe(-EAGAIN);
  let got = 0;
  peer.on('data', (chunk: Buffer) => (got += chunk.length)).resume();
  while (got < sent) await once(peer, 'data');
  await end.delivered();
  truncateSync(sparse, 100);
  expect(send(50, 100)).toBe(50);
  expect(send(100, 1)).toBe(-ENODATA);
  socket.end();
  await once(socket, 'finish');
  expect(send(0, 1)).toBe(-EPIPE);
  for (const end of [peer, socket]) end.destroy();
  closeSync(fd);
});

test.each([
  ['openFile', ['path', ignore]],
  ['openFile', [Buffer.alloc(0), ignore]],
  ['openFile', [Buffer.from('a\0b'), ignore]],
  ['openFile', [Buffer.from('a'), null]],
  ['describeFile', [-1, ignore]],
  ['describeFile', [0]],
  ['isCached', [0, -1, 1]],
  ['isCached', [0, 0, 0]],
  ['sendFileNow', [0, -1, 0, 1]],
  ['sendFileNow', [0, 0, 0, 2 ** 53]],
])('%s refuses %j', (name, values) => {
  const loose = native() as unknown as Record<string, (...values: unknown[]) => unknown>;
  expect(() => loose[name]!(...values)).toThrow(
    expect.objectContaining({ name: 'TypeError', code: 'ERR_KTLS_NATIVE_ARGUMENT' }) as Error,
  );
});

test.each([
  ['is opening', 'openFile(Buffer.from(workerData), () => {})'],
  ['has opened', 'openFile(Buffer.from(workerData), (fd) => opened.push(fd))'],
  ['has duplicated', 'opened.push(duplicate(fs.openSync(workerData)))'],
])('closes what a worker %s when it ends', async (_, open) => {
  const ended = await runAlone(
    `
    const fs = require('node:fs');
    const body = \`
      const { duplicate, openFile } = require('node-gyp-build')(process.cwd());
      const fs = require('node:fs');
      const opened = [];
      const { workerData, parentPort } = require('node:worker_threads');
      for (let i = 0; i < 50; i++) ${open};
      if (${open.includes('push')}) {
        setInterval(() => opened.length === 50 && parentPort.postMessage('opened'), 5);
      } else {
        parentPort.postMessage('opening');
        const until = Date.now() + 1000;
        while (Date.now() < until);
      }
    \`;
    const path = ${JSON.stringify(file)};
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(body, { eval: true, workerData: path });
      await once(worker, 'message');
      await worker.terminate();
    }
    const names = fs.readdirSync('/proc/self/fd').map((fd) => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; }
    });
    console.log(names.filter((name) => name === path).length);
  `,
  );
  expect(ended).toMatchObject({ code: 0, signal: null, stdout: '0\n', stderr: '' });
});

/** The addon's FileSender over plain TCP: what it sends, what stops it, and that it owns what it uses. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, truncateSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import type { FileSender } from '../../lib/kernel/binding.js';
import { openFiles } from '../support/leaks.js';
import { fdOf, native, runAlone, tcpPair } from '../support/native.js';
import { Scratch } from '../support/scratch.js';

const { EAGAIN, EALREADY, EBADF, ENODATA, EPIPE, ECONNRESET } = constants.errno;
const scratch = new Scratch();
afterAll(() => scratch.remove());

const content = randomBytes(300_000);
const file = scratch.write('file', content);

interface Sending extends AsyncDisposable {
  readonly peer: Socket;
  readonly socket: Socket;
  readonly sender: FileSender;
  send(position: number, length: number): Promise<[bytes: number, status: number]>;
}

async function sending(path = file): Promise<Sending> {
  const { peer, socket } = await tcpPair();
  let answer: ((result: [number, number]) => void) | null = null;
  const fd = openSync(path, 'r');
  const sender = new (native().FileSender)(fdOf(socket), fd, (bytes, status) =>
    answer!([bytes, status]),
  );
  // Its number may be another file's from here on.
  closeSync(fd);
  return {
    peer,
    socket,
    sender,
    send: (position, length) =>
      new Promise((resolve, reject) => {
        answer = resolve;
        const result = sender.send(position, length);
        if (result < 0) reject(new Error(`send ${result}`));
      }),
    async [Symbol.asyncDispose]() {
      sender.close();
      for (const end of [peer, socket]) {
        end.destroy();
        if (!end.closed) await once(end, 'close');
      }
    },
  };
}

async function received(peer: Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  peer.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
  });
  peer.resume();
  while (size < length) await once(peer, 'data');
  return Buffer.concat(chunks);
}

test('sends a range of a file whose own fd is closed', async () => {
  await using scene = await sending();
  const all = received(scene.peer, 200_000);
  expect(await scene.send(50_000, 200_000)).toEqual([200_000, 0]);
  expect((await all).equals(content.subarray(50_000, 250_000))).toBe(true);
});

test('stops at the end of the file, and says so', async () => {
  await using scene = await sending();
  const all = received(scene.peer, 1000);
  expect(await scene.send(content.length - 1000, 5000)).toEqual([1000, -ENODATA]);
  expect(await scene.send(content.length, 1)).toEqual([0, -ENODATA]);
  expect(await scene.send(2 ** 53 - 1, 1)).toEqual([0, -ENODATA]);
  expect((await all).equals(content.subarray(-1000))).toBe(true);
});

test('says so too when the file is cut off in between', async () => {
  const path = scratch.write('cut', content);
  await using scene = await sending(path);
  scene.peer.resume();
  expect(await scene.send(0, 1000)).toEqual([1000, 0]);
  truncateSync(path, 1500);
  expect(await scene.send(1000, 1000)).toEqual([500, -ENODATA]);
});

test('does not wait for a peer that does not read', async () => {
  const path = scratch.write('sparse', '');
  truncateSync(path, 64 * 1024 * 1024);
  await using scene = await sending(path);
  const [bytes, status] = await scene.send(0, 64 * 1024 * 1024);
  expect(status).toBe(-EAGAIN);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(64 * 1024 * 1024);
  const all = received(scene.peer, bytes);
  expect((await all).every((byte) => byte === 0)).toBe(true);
});

test('reaches an offset that does not fit 32 bits', async () => {
  const path = scratch.write('large', '');
  const offset = 5 * 2 ** 30;
  truncateSync(path, offset + 10);
  await using scene = await sending(path);
  const all = received(scene.peer, 10);
  expect(await scene.send(offset, 100)).toEqual([10, -ENODATA]);
  expect((await all).length).toBe(10);
});

test('names the error of a connection that the peer has reset', async () => {
  await using scene = await sending();
  const reset = once(scene.socket, 'error');
  scene.socket.resume();
  scene.peer.resetAndDestroy();
  // libuv takes the error itself and closes its fd; the duplicate still is the dead connection.
  await reset;
  const [bytes, status] = await scene.send(0, 1000);
  expect(bytes).toBe(0);
  expect([-EPIPE, -ECONNRESET]).toContain(status);
});

test('closes what it has duplicated, and nothing that is no fd', () => {
  const path = scratch.write('duplicated', 'x');
  const fd = openSync(path, 'r');
  const duplicate = native().duplicate(fd);
  closeSync(fd);
  expect(openFiles(path)).toBe(1);
  native().close(duplicate);
  expect(openFiles(path)).toBe(0);
  for (const wrong of [-1, 2 ** 31, '1', undefined] as number[]) {
    expect(() => native().close(wrong)).toThrow(
      expect.objectContaining({ code: 'ERR_KTLS_NATIVE_ARGUMENT' }) as Error,
    );
  }
});

test('has one chunk under way at a time', async () => {
  await using scene = await sending();
  scene.peer.resume();
  const first = scene.send(0, 1000);
  expect(scene.sender.send(0, 1)).toBe(-EALREADY);
  await first;
});

test('closes what it holds, behind a chunk that is under way', async () => {
  const path = scratch.write('held', content);
  const scene = await sending(path);
  expect(openFiles(path)).toBe(1);
  scene.peer.resume();
  expect(scene.sender.send(0, 1000)).toBe(0);
  scene.sender.close();
  scene.sender.close();
  expect(scene.sender.send(0, 1)).toBe(-EBADF);
  while (openFiles(path) > 0) await sleep(5);
  await scene[Symbol.asyncDispose]();
});

test('sends to its own connection although the number is another one’s by now', async () => {
  await using scene = await sending();
  const all = received(scene.peer, 1000);
  scene.socket.destroy();
  await once(scene.socket, 'close');
  await using other = await sending();
  expect(await scene.send(0, 1000)).toEqual([1000, 0]);
  expect((await all).equals(content.subarray(0, 1000))).toBe(true);
  expect(other.peer.bytesRead).toBe(0);
});

test('refuses an fd that is not open', () => {
  const badFd = expect.objectContaining({ code: 'EBADF', syscall: 'fcntl' }) as Error;
  expect(() => new (native().FileSender)(999_999, 0, () => undefined)).toThrow(badFd);
  expect(() => new (native().FileSender)(0, 999_999, () => undefined)).toThrow(badFd);
});

test.each([
  ['a negative fd', [-1, 0, () => undefined]],
  ['a fraction', [0, 1.5, () => undefined]],
  ['no function', [0, 0, {}]],
  ['nothing', []],
])('refuses %s', (_name, values) => {
  const { FileSender: Loose } = native() as unknown as {
    FileSender: new (...values: unknown[]) => FileSender;
  };
  expect(() => new Loose(...values)).toThrow(
    expect.objectContaining({ name: 'TypeError', code: 'ERR_KTLS_NATIVE_ARGUMENT' }) as Error,
  );
});

test.each([
  [-1, 1],
  [0, 0],
  [0.5, 1],
  [0, 2 ** 53],
])('refuses the range %d, %d', async (position, length) => {
  await using scene = await sending();
  expect(() => scene.sender.send(position, length)).toThrow(
    expect.objectContaining({ code: 'ERR_KTLS_NATIVE_ARGUMENT' }) as Error,
  );
});

test('keeps nothing that its callback holds once it is closed', async () => {
  const ended = await runAlone(`
    const { FileSender } = require('node-gyp-build')(process.cwd());
    const fs = require('node:fs');
    require('node:v8').setFlagsFromString('--expose-gc');
    const collect = require('node:vm').runInNewContext('gc');
    const { peer, socket, fd } = await pair();
    const file = fs.openSync(${JSON.stringify(file)}, 'r');
    async function send() {
      const transfer = {};
      const sent = new Promise((resolve) => (transfer.sent = resolve));
      transfer.sender = new FileSender(fd, file, (bytes) => transfer.sent(bytes));
      transfer.sender.send(0, 1000);
      console.log(await sent);
      transfer.sender.close();
      return new WeakRef(transfer);
    }
    const transfer = await send();
    for (let i = 0; i < 10 && transfer.deref() !== undefined; i++) {
      await new Promise(setImmediate);
      collect();
    }
    console.log(transfer.deref() === undefined ? 'collected' : 'kept');
    peer.destroy();
    socket.destroy();
  `);
  expect(ended).toEqual({ code: 0, signal: null, stdout: '1000\ncollected\n', stderr: '' });
});

test('survives the end of a worker with chunks under way', async () => {
  const ended = await runAlone(
    `
    const { FileSender } = require('node-gyp-build')(process.cwd());
    const body = \`
      const { FileSender } = require('node-gyp-build')(process.cwd());
      const { workerData, parentPort } = require('node:worker_threads');
      const file = require('node:fs').openSync(workerData.file, 'r');
      const senders = workerData.fds.map((fd) => new FileSender(fd, file, () => {
        throw new Error('called');
      }));
      for (const sender of senders) sender.send(0, 300000);
      parentPort.postMessage('sending');
      const until = Date.now() + 1000;
      while (Date.now() < until);
    \`;
    for (let round = 0; round < 5; round++) {
      const pairs = await Promise.all(Array.from({ length: 10 }, () => pair()));
      const worker = new Worker(body, {
        eval: true,
        workerData: { file: ${JSON.stringify(file)}, fds: pairs.map(({ fd }) => fd) },
      });
      await once(worker, 'message');
      await worker.terminate();
      for (const { peer, socket } of pairs) { peer.destroy(); socket.destroy(); }
    }
    console.log('over');
  `,
  );
  expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'over\n', stderr: '' });
});

test('keeps the bytes in order over many chunks', async () => {
  await using scene = await sending();
  const all = received(scene.peer, content.length);
  for (let position = 0; position < content.length;) {
    const [bytes] = await scene.send(position, Math.min(17_001, content.length - position));
    position += bytes;
  }
  const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  expect(hash(await all)).toBe(hash(content));
});

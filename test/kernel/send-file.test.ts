/** Files under kernel TLS: every byte, in its place, and nothing that could be taken for the whole if it is not. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, expect, it } from 'vitest';
import { type OffloadedSocket, sendFile } from '../../lib/index.js';
import { kernelFeatures } from '../../lib/kernel/features.js';
import { type Pair, connectPair, digest, readExactly } from '../support/connection.js';
import { curl } from '../support/curl.js';
import { rawClient, rawRequest, readUntil, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { openFiles } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { scripted, versions } from '../support/scripted.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const content = randomBytes(1_000_000);
const file = scratch.write('file', content);

/** Our server opposite node:tls, which checks every record. */
const pair = (options: Parameters<typeof connectPair>[0] = {}): Promise<Pair> =>
  connectPair({ client: 'node', ...options });
const ours = ({ server }: Pair): OffloadedSocket => server as OffloadedSocket;

describeKernel('a file', () => {
  it('keeps its place among writes and other files', async () => {
    await using connection = await pair();
    const socket = ours(connection);
    const expected: Buffer[] = [];
    const sent: Promise<number>[] = [];
    for (let i = 0; i < 40; i++) {
      const start = (i * 7919) % 500_000;
      const end = start + ((i * 3571) % 40_000);
      const text = `between ${i} `;
      socket.write(text);
      sent.push(socket.sendFile(file, { start, end, highWaterMark: 10_000 }));
      expected.push(Buffer.from(text), content.subarray(start, end + 1));
    }
    socket.end('last');
    const ended = once(connection.client, 'end');
    const all = Buffer.concat([...expected, Buffer.from('last')]);
    const got = await readExactly(connection.client, all.length);
    expect(digest(got)).toBe(digest(all));
    expect(await Promise.all(sent)).toEqual(
      expected.filter((_, i) => i % 2 === 1).map((part) => part.length),
    );
    expect(socket.bytesWritten).toBe(all.length);
    // The end was clean: what close_notify waits for counted the files.
    connection.client.resume();
    await ended;
  });

  it('that is immutable arrives as any other, and copies are saved by network cards only', async () => {
    await using connection = await pair();
    const socket = ours(connection);
    const sent: Promise<number>[] = [];
    for (const immutable of [true, false, true, true]) {
      sent.push(socket.sendFile(file, { immutable }));
      socket.write('between');
    }
    const all = Buffer.concat(sent.flatMap(() => [content, Buffer.from('between')]));
    expect(digest(await readExactly(connection.client, all.length))).toBe(digest(all));
    expect(await Promise.all(sent)).toEqual(sent.map(() => content.length));
    expect(socket.offload.zeroCopy).toBe(false);
    // Which is no refusal of the kernel's (TLS_TX_ZEROCOPY_RO, Linux 5.19).
    expect(kernelFeatures().zeroCopy).toBe(0);
  });

  it('goes by way of node:tls where the cipher cannot be offloaded', async () => {
    const options = { ciphers: 'ECDHE-ECDSA-AES128-SHA256', maxVersion: 'TLSv1.2' } as const;
    await using connection = await pair({ serverOptions: options, clientOptions: options });
    const socket = ours(connection);
    expect(socket.offload).toMatchObject({ offloaded: false, reason: 'ERR_KTLS_CIPHER' });
    socket.write('before ');
    const sent = socket.sendFile(file, { start: 1000 });
    socket.write(' behind');
    const all = Buffer.concat([
      Buffer.from('before '),
      content.subarray(1000),
      Buffer.from(' behind'),
    ]);
    expect(digest(await readExactly(connection.client, all.length))).toBe(digest(all));
    expect(await sent).toBe(content.length - 1000);
    expect(socket.bytesWritten).toBe(all.length);
  });

  it('may be given as an fd that is closed, a FileHandle, a URL or a stream', async () => {
    await using connection = await pair();
    const socket = ours(connection);
    const fd = openSync(file, 'r');
    const handle = await open(file);
    const { createReadStream } = await import('node:fs');
    const sent = [
      socket.sendFile(fd, { end: 9 }),
      socket.sendFile(handle, { start: 10, end: 19 }),
      socket.sendFile(new URL(`file://${file}`), { start: 20, end: 29 }),
      socket.sendFile(createReadStream(file, { start: 30, end: 39 })),
    ];
    closeSync(fd);
    await handle.close();
    expect((await readExactly(connection.client, 40)).equals(content.subarray(0, 40))).toBe(true);
    expect(await Promise.all(sent)).toEqual([10, 10, 10, 10]);
    await expect.poll(() => openFiles(file)).toBe(0);
  });

  it('that cannot be sent leaves the connection as it was', async () => {
    await using connection = await pair();
    const socket = ours(connection);
    // The test runner has some of its own.
    const nullDevices = new Map([['/dev/null', openFiles('/dev/null')]]);
    mkdirSync(scratch.path('directory'), { recursive: true });
    const outcomes = await Promise.allSettled([
      socket.sendFile(scratch.path('absent')),
      socket.sendFile(scratch.directory),
      socket.sendFile('/dev/null'),
      socket.sendFile(file, { start: content.length + 1 }),
      socket.sendFile(file, { signal: AbortSignal.abort() }),
      socket.sendFile(file, { start: content.length }),
    ]);
    expect(
      outcomes.map((outcome) =>
        outcome.status === 'fulfilled'
          ? outcome.value
          : (outcome.reason as NodeJS.ErrnoException).code,
      ),
    ).toEqual([
      'ENOENT',
      'ERR_KTLS_NOT_A_FILE',
      'ERR_KTLS_NOT_A_FILE',
      'ERR_KTLS_FILE_RANGE',
      'ABORT_ERR',
      0,
    ]);
    socket.write('goes on');
    expect((await readExactly(connection.client, 7)).toString()).toBe('goes on');
    for (const path of [scratch.directory, '/dev/null', file]) {
      await expect.poll(() => openFiles(path)).toBe(nullDevices.get(path) ?? 0);
    }
  });

  for (const version of versions) {
    it(`that becomes shorter resets the connection, without close_notify (${version})`, async () => {
      const path = scratch.write(`cut-${version}`, '');
      truncateSync(path, 32 * 1024 * 1024);
      await using scene = await scripted('server', version);
      const socket = scene.socket as OffloadedSocket;
      scene.peer.socket.pause();
      const sent = socket.sendFile(path);
      sent.catch(() => undefined);
      const error = once(socket, 'error');
      while (socket.bytesWritten === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      truncateSync(path, 1000);
      scene.peer.socket.resume();
      await expect(sent).rejects.toMatchObject({ code: 'ERR_KTLS_FILE_TRUNCATED' });
      expect((await error)[0]).toMatchObject({ code: 'ERR_KTLS_FILE_TRUNCATED' });
      await scene.peer.untilEnded();
      expect(scene.peer.wasReset).toBe(true);
      expect(scene.peer.receivedAlerts).toEqual([]);
      await expect.poll(() => openFiles(path)).toBe(0);
    });
  }

  for (const [ending, code, act] of [
    ['a destroy', 'ERR_KTLS_SEND_INTERRUPTED', (c: Pair) => void c.server.destroy()],
    ['the peer’s reset', /^(ECONNRESET|EPIPE)$/, (c: Pair) => void c.client.destroy()],
    ['an abort', 'ABORT_ERR', (_: Pair, controller: AbortController) => controller.abort()],
  ] as const) {
    it(`under way is over with ${ending}`, async () => {
      const path = scratch.write(`under-way-${ending.length}`, '');
      truncateSync(path, 2 ** 30);
      await using connection = await pair();
      const socket = ours(connection);
      socket.on('error', () => undefined);
      connection.client.on('error', () => undefined);
      connection.client.pause();
      const controller = new AbortController();
      const { signal } = controller;
      const [first, second] = [socket.sendFile(path, { signal }), socket.sendFile(path)];
      for (const sent of [first, second]) sent.catch(() => undefined);
      while (socket.bytesWritten === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      act(connection, controller);
      await expect(first).rejects.toMatchObject({ code: expect.stringMatching(code) as string });
      await expect(second).rejects.toThrow();
      await expect.poll(() => openFiles(path)).toBe(0);
    });
  }

  it('given up resets a connection that is called h2 and has no session', async () => {
    const path = scratch.write('h2', '');
    truncateSync(path, 2 ** 30);
    await using scene = await scripted('server', 'TLSv1.3', {
      options: { ALPNProtocols: ['h2'] },
    });
    const socket = scene.socket as OffloadedSocket;
    expect(socket.alpnProtocol).toBe('h2');
    scene.peer.socket.pause();
    const controller = new AbortController();
    const sent = socket.sendFile(path, { signal: controller.signal });
    sent.catch(() => undefined);
    const error = once(socket, 'error');
    while (socket.bytesWritten === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    scene.peer.socket.resume();
    await expect(sent).rejects.toMatchObject({ code: 'ABORT_ERR' });
    expect((await error)[0]).toMatchObject({ code: 'ABORT_ERR' });
    await scene.peer.untilEnded();
    expect(scene.peer.wasReset).toBe(true);
    expect(scene.peer.receivedAlerts).toEqual([]);
  });
});

describeKernel('a file in an HTTP response', () => {
  const respond = (set: (response: ServerResponse) => void) => {
    return (_: IncomingMessage, response: ServerResponse) => {
      set(response);
      sendFile(response, file).then(
        () => response.end(),
        () => response.destroy(),
      );
    };
  };
  for (const [kind, set] of [
    ['Content-Length', (r: ServerResponse) => void r.setHeader('content-length', content.length)],
    ['chunks', () => undefined],
  ] as const) {
    it(`is its body, with ${kind}`, async () => {
      await using serving = await serve(respond(set));
      const url = `https://127.0.0.1:${serving.port}/`;
      const result = await curl('-k', '--http1.1', url, '--next', '-k', '--http1.1', url);
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(digest(result.stdout)).toBe(digest(Buffer.concat([content, content])));
      const head = await curl('-k', '--http1.1', '-I', url);
      expect(head.code).toBe(0);
    });
  }

  it('waits for the responses before it in the pipeline', async () => {
    const held: ServerResponse[] = [];
    const sent: Promise<number>[] = [];
    await using serving = await serve((request, response) => {
      if (request.url === '/first') {
        held.push(response);
        return;
      }
      response.setHeader('content-length', 10);
      const sending = sendFile(response, file, { end: 9 });
      sent.push(sending);
      void sending.then(() => response.end());
      setImmediate(() => setImmediate(() => held[0]!.end('one')));
    });
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /first') + rawRequest('GET /second'));
    expect(await readUntil(client, 'one')).toMatch(/^HTTP\/1\.1 200/);
    const second = await readUntil(client, '\r\n\r\n');
    expect(second).toMatch(/content-length: 10/);
    expect((await readExactly(client, 10)).equals(content.subarray(0, 10))).toBe(true);
    expect(await sent[0]).toBe(10);
    client.destroy();
  });
});

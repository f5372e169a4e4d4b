/** `sendFile` where there is no kernel TLS: plain sockets, plain HTTP, and whatever else is a Writable. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, readFileSync, truncateSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip, gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { sendFile } from '../../lib/index.js';
import { connectPair, readExactly } from '../support/connection.js';
import { openFiles } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript } from '../support/script.js';
import { uncaughtDuring } from '../support/uncaught.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const content = randomBytes(3_000_000);
const file = scratch.write('file', content);

async function plainPair(): Promise<{ socket: Socket; peer: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = await accepted;
  server.close();
  return { socket, peer };
}

it('keeps a file’s place among the writes of a plain socket', async () => {
  const { socket, peer } = await plainPair();
  const received = buffer(peer);
  socket.write('before ');
  const first = sendFile(socket, file, { start: 1, end: 2_000_000 });
  socket.write(' between ');
  const second = sendFile(socket, file);
  socket.end(' after');
  const expected = Buffer.concat([
    Buffer.from('before '),
    content.subarray(1, 2_000_001),
    Buffer.from(' between '),
    content,
    Buffer.from(' after'),
  ]);
  expect((await received).equals(expected)).toBe(true);
  expect(await Promise.all([first, second])).toEqual([2_000_000, content.length]);
  expect(socket.bytesWritten).toBe(expected.length);
});

it('sends to a socket that is still connecting', async () => {
  const server = createServer((accepted) => void accepted.pipe(accepted));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  expect(await sendFile(socket, file, { end: 99 })).toBe(100);
  expect((await readExactly(socket, 100)).equals(content.subarray(0, 100))).toBe(true);
  socket.destroy();
  server.close();
});

it('waits for a slow reader of a plain socket', async () => {
  const path = scratch.write('large', '');
  truncateSync(path, 64 * 2 ** 20);
  const { socket, peer } = await plainPair();
  peer.pause();
  const sent = sendFile(socket, path);
  while (socket.bytesWritten === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  let received = 0;
  peer.on('data', (chunk: Buffer) => (received += chunk.length));
  peer.resume();
  expect(await sent).toBe(64 * 2 ** 20);
  socket.end();
  await once(peer, 'end');
  expect(received).toBe(64 * 2 ** 20);
});

it('rejects when a plain socket is destroyed', async () => {
  const path = scratch.write('destroyed', '');
  truncateSync(path, 2 ** 30);
  const { socket, peer } = await plainPair();
  peer.on('error', () => undefined);
  const sent = sendFile(socket, path);
  sent.catch(() => undefined);
  while (socket.bytesWritten === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  socket.destroy();
  await expect(sent).rejects.toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
  peer.destroy();
});

it('leaves a connection as it was when descriptors are short before the first byte', async () => {
  const ended = await runScript(`
    const { execFileSync } = await import('node:child_process');
    const listener = net.createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const peer = net.connect(listener.address().port, '127.0.0.1');
    const [socket] = await once(listener, 'connection');
    const path = os.tmpdir() + '/ktls-short-' + process.pid;
    fs.writeFileSync(path, '');
    fs.truncateSync(path, 2 ** 20);
    // Its file is open by the time that its turn comes.
    socket.write(Buffer.alloc(16 * 2 ** 20));
    const outcome = ktls.sendFile(socket, path).catch((error) => error);
    const isOpen = (fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd) === path; } catch { return false; } };
    while (!fs.readdirSync('/proc/self/fd').some(isOpen)) await delay(1);
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=200:']);
    const fds = [];
    try { for (;;) fds.push(fs.openSync('/dev/null')); } catch {}
    let received = 0;
    peer.on('data', (data) => (received += data.length));
    say((await outcome).code);
    for (const fd of fds) fs.closeSync(fd);
    socket.end('after');
    await once(peer, 'end');
    say(received - 16 * 2 ** 20);
    listener.close();
    fs.rmSync(path);
  `);
  expect(ended).toMatchObject({ ...clean, stdout: 'EMFILE\n5\n' });
});

it('leaves a connection as it was when a file cannot be read from its first byte on', async () => {
  const { socket, peer } = await plainPair();
  const received = buffer(peer);
  // Nothing is mapped at address 0.
  await expect(sendFile(socket, '/proc/self/mem')).rejects.toMatchObject({ code: 'EIO' });
  socket.end('after');
  expect((await received).toString()).toBe('after');
});

it('sends from an fd in a worker thread, which warns of nothing', async () => {
  const ended = await runScript(`
    const worker = startWorker(\`
      const listener = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const socket = net.connect(listener.address().port, '127.0.0.1');
      const fd = fs.openSync('package.json');
      say('sent', await ktls.sendFile(socket, fd, { end: 9 }));
      fs.closeSync(fd);
      socket.destroy();
      listener.close();
    \`);
    await once(worker, 'exit');
  `);
  expect(ended).toMatchObject({ ...clean, stdout: 'sent 10\n' });
});

for (const length of [true, false]) {
  it(`is a body over plain HTTP, ${length ? 'with Content-Length' : 'in chunks'}`, async () => {
    const server = http.createServer((_request, response) => {
      if (length) response.setHeader('content-length', content.length);
      void sendFile(response, file).then(() => response.end());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const answers = await Promise.all(
      [1, 2].map(async () =>
        Buffer.from(await (await fetch(`http://127.0.0.1:${port}`)).arrayBuffer()),
      ),
    );
    for (const answer of answers) expect(answer.equals(content)).toBe(true);
    const head = await fetch(`http://127.0.0.1:${port}`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    server.close();
    server.closeAllConnections();
  });
}

for (const how of ['of its own', 'of the application’s']) {
  it(`gives up behind a response that is never sent, with a write ${how}`, async () => {
    const own = how === 'of its own';
    // It counts before its turn, and Node is to go on reading, and to hear of the client's end.
    const waiting = own ? scratch.write('small', content.subarray(0, 100)) : file;
    const outcomes: Promise<unknown>[] = [];
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const server = http.createServer((request, response) => {
      if (request.url === '/never') return;
      const write = response.write.bind(response) as (...args: unknown[]) => boolean;
      if (!own) response.write = (...args: unknown[]) => write(...args);
      outcomes.push(sendFile(response, waiting).catch((error: unknown) => error));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    client.write(get('/never') + get('/file').repeat(20));
    await expect.poll(() => openFiles(waiting)).toBe(20);
    client.destroy();
    for (const outcome of await Promise.all(outcomes)) {
      expect(outcome).toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
    }
    await expect.poll(() => openFiles(waiting)).toBe(0);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    server.close();
  });
}

it('sends nothing on a connection that is over already', async () => {
  const outcome = new Promise((resolve) => {
    const server = http.createServer((request, response) => {
      request.socket.destroy();
      server.close();
      resolve(sendFile(response, file).catch((error: unknown) => error));
    });
    server.listen(0, '127.0.0.1', () => {
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
      client.on('error', () => undefined);
      client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    });
  });
  expect(await outcome).toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
  await expect.poll(() => openFiles(file)).toBe(0);
});

describe.each(['HTTP/1', 'HTTP/2'])('a response of %s', (protocol) => {
  type Response = http.ServerResponse & http2.Http2ServerResponse;
  const ask = async (method: string, respond: (response: Response) => void): Promise<Buffer> => {
    const listener = (_request: unknown, response: unknown) => respond(response as Response);
    const server =
      protocol === 'HTTP/1' ? http.createServer(listener) : http2.createServer(listener);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      if (protocol === 'HTTP/1') {
        return Buffer.from(await (await fetch(url, { method })).arrayBuffer());
      }
      const session = http2.connect(url);
      const body = await buffer(session.request({ ':method': method, ':path': '/' }));
      session.close();
      return body;
    } finally {
      server.close();
      if (server instanceof http.Server) server.closeAllConnections();
    }
  };

  it('that is ended while its file is being opened goes on as it was ended', async () => {
    // More than is sent by the time that the file is open.
    const instead = Buffer.alloc(20_000_000, 'i');
    let sent: Promise<unknown> | undefined;
    const uncaught = await uncaughtDuring(async () => {
      const body = await ask('GET', (response) => {
        sent = sendFile(response, file).catch((error: unknown) => error);
        response.statusCode = 503;
        response.end(instead);
      });
      expect(body.equals(instead)).toBe(true);
    });
    expect(uncaught).toEqual([]);
    expect(await sent).toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
    await expect.poll(() => openFiles(file)).toBe(0);
  });

  it('to HEAD gets nothing of the file', async () => {
    let sent: Promise<unknown> | undefined;
    await ask('HEAD', (response) => {
      sent = sendFile(response, file)
        .catch((error: unknown) => error)
        .finally(() => response.end());
    });
    expect(await sent).toBe(0);
  });
});

it('keeps a file’s place in a response that is corked', async () => {
  const server = http.createServer((_request, response) => {
    response.flushHeaders();
    response.cork();
    response.cork();
    response.write('before ');
    void sendFile(response, file, { end: 9 }).then(() => {
      response.write(' after');
      response.write(`wards, corked ${response.writableCorked} times`);
      response.uncork();
      response.uncork();
      response.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const expected = ['before ', content.subarray(0, 10), ' afterwards, corked 2 times'].map((part) =>
    Buffer.from(part),
  );
  expect(Buffer.from(await answer.arrayBuffer()).equals(Buffer.concat(expected))).toBe(true);
  server.close();
  server.closeAllConnections();
});

it('goes through a response’s own write where that was replaced', async () => {
  const server = http.createServer((_request, response) => {
    const write = response.write.bind(response) as (chunk: Buffer, done: () => void) => boolean;
    response.write = ((chunk: Buffer, done: () => void) =>
      write(Buffer.from(chunk).fill('x'), done)) as typeof response.write;
    void sendFile(response, file, { end: 9 }).then(() => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('xxxxxxxxxx');
  server.close();
  server.closeAllConnections();
});

it.each([3_000, 300_000])(
  'goes through a write that never calls back, with %i bytes',
  async (size) => {
    const gzip = createGzip();
    const server = http.createServer((_request, response) => {
      const write = response.write.bind(response) as (chunk: Buffer) => boolean;
      const end = response.end.bind(response);
      const on = response.on.bind(response) as (type: string, listener: () => void) => object;
      // As the middleware `compression` does.
      gzip.on('data', (chunk: Buffer) => {
        if (!write(chunk)) gzip.pause();
      });
      gzip.on('end', () => end());
      response.on('drain', () => gzip.resume());
      response.write = (chunk: Buffer) => gzip.write(chunk);
      response.on = ((type: string, listener: () => void) =>
        type === 'drain' ? gzip.on(type, listener) : on(type, listener)) as typeof response.on;
      void sendFile(response, file, { end: size - 1 }).then((bytes) => gzip.end(String(bytes)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const received = gunzipSync(Buffer.from(await answer.arrayBuffer()));
    const expected = Buffer.concat([content.subarray(0, size), Buffer.from(String(size))]);
    expect(received.equals(expected)).toBe(true);
    server.close();
    server.closeAllConnections();
  },
);

it('leaves the answer to the application when there is no such file', async () => {
  const server = http.createServer((_request, response) => {
    sendFile(response, scratch.path('absent')).catch((error: unknown) => {
      response.writeHead(404).end((error as NodeJS.ErrnoException).code);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect([answer.status, await answer.text()]).toEqual([404, 'ENOENT']);
  server.close();
  server.closeAllConnections();
});

it('rejects for a ReadStream that cannot open its file, which harms nobody', async () => {
  const ended = await runScript(`
    const { PassThrough } = await import('node:stream');
    const absent = () => fs.createReadStream('/nonexistent');
    const failed = absent();
    await once(failed, 'error').catch(() => undefined);
    for (const source of [absent(), failed]) {
      await ktls.sendFile(new PassThrough(), source).catch(({ code }) => say(code));
    }
  `);
  expect(ended).toMatchObject({ ...clean, stdout: 'ENOENT\nENOENT\n' });
});

it('streams to node:tls and to any Writable', async () => {
  const through = new PassThrough();
  const received = buffer(through);
  expect(await sendFile(through, file, { start: 5 })).toBe(content.length - 5);
  through.end();
  expect((await received).equals(content.subarray(5))).toBe(true);

  await using pair = await connectPair({ server: 'node', client: 'node' });
  const sent = sendFile(pair.server, file);
  expect((await readExactly(pair.client, content.length)).equals(content)).toBe(true);
  expect(await sent).toBe(content.length);
});

it('reads a file of unknown size to its end', async () => {
  const path = '/proc/version';
  const expected = readFileSync(path, 'utf8');
  const { socket, peer } = await plainPair();
  const received = buffer(peer);
  expect(await sendFile(socket, path)).toBe(expected.length);
  expect(await sendFile(socket, path, { start: 2, end: 5 })).toBe(4);
  socket.end();
  expect((await received).toString()).toBe(expected + expected.slice(2, 6));
  const server = http.createServer((_request, response) => {
    void sendFile(response, path).then(() => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe(expected);
  server.close();
  server.closeAllConnections();
  await expect.poll(() => openFiles(path)).toBe(0);
});

it('says how far it is', async () => {
  const { socket, peer } = await plainPair();
  peer.resume();
  for (const target of [socket, new PassThrough().resume()]) {
    const seen: number[] = [];
    const options = { highWaterMark: 1_000_000, onProgress: (bytes: number) => seen.push(bytes) };
    await sendFile(target, file, options);
    expect(seen.length).toBeGreaterThan(2);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(content.length);
  }
  socket.destroy();
});

it('goes on when onProgress throws', async () => {
  const { socket, peer } = await plainPair();
  peer.resume();
  const thrown = new Error("the program's own");
  for (const target of [socket, new PassThrough().resume()]) {
    let calls = 0;
    const onProgress = (): void => {
      if (++calls === 2) throw thrown;
    };
    const uncaught = await uncaughtDuring(async () => {
      const sent = sendFile(target, file, { highWaterMark: 500_000, onProgress });
      expect(await sent).toBe(content.length);
    });
    expect(uncaught).toEqual([thrown]);
    expect(calls).toBeGreaterThan(2);
  }
  socket.destroy();
});

it('rejects when a Writable is destroyed', async () => {
  const through = new PassThrough();
  const sent = sendFile(through, file);
  sent.catch(() => undefined);
  setImmediate(() => void through.destroy());
  await expect(sent).rejects.toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
});

it.each(['a timer', 'a microtask'])('harms nobody when it is aborted in %s', async (where) => {
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', onUncaught);
  const controller = new AbortController();
  const target = new Writable({ write: (_chunk, _encoding, callback) => setTimeout(callback, 1) });
  const outcome = sendFile(target, file, { signal: controller.signal });
  outcome.catch(() => undefined);
  while (target.writableLength === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  // `once` of node:events would listen for 'error' too.
  const closed = new Promise<void>((resolve) => target.once('close', resolve));
  setTimeout(() => {
    if (where === 'a timer') controller.abort();
    else void Promise.resolve().then(() => controller.abort());
  });
  await expect(outcome).rejects.toMatchObject({ code: 'ABORT_ERR' });
  await closed;
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('uncaughtException', onUncaught);
  expect(uncaught).toEqual([]);
  expect(target.errored).toMatchObject({ code: 'ABORT_ERR' });
});

describe('rejects with what a response’s write throws', () => {
  /** What comes of it, how often the response is corked then, and the answer. */
  async function refused(
    prepare: (response: http.ServerResponse) => void,
    { method = 'GET', ...options }: http.ServerOptions & { method?: string } = {},
  ): Promise<{ code: unknown; corked: number; destroyed: boolean; status: number | undefined }> {
    const seen = { code: null as unknown, corked: 0, destroyed: false };
    const server = http.createServer(options, (_request, response) => {
      prepare(response);
      sendFile(response, file).catch((error: unknown) => {
        seen.code = (error as NodeJS.ErrnoException).code;
        seen.corked = response.writableCorked;
        seen.destroyed = response.destroyed;
        if (response.destroyed) return;
        while (response.writableCorked > 0) response.uncork();
        if (!response.headersSent) response.statusCode = 500;
        response.end();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ask = async (): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${port}`, { method });
      await answer.arrayBuffer();
      return answer.status;
    };
    const status = await ask().catch(() => undefined);
    await expect.poll(() => openFiles(file)).toBe(0);
    server.close();
    server.closeAllConnections();
    return { ...seen, status };
  }

  it.each([0, 2])('of its head, corked %i times', async (corks) => {
    const outcome = await refused((response) => {
      for (let cork = 0; cork < corks; cork++) response.cork();
      response.statusCode = 1000;
    });
    const code = 'ERR_HTTP_INVALID_STATUS_CODE';
    expect(outcome).toEqual({ code, corked: corks, destroyed: false, status: 500 });
  });

  it('of its head, where its write was replaced', async () => {
    const outcome = await refused((response) => {
      const write = response.write.bind(response) as (chunk: Buffer) => boolean;
      response.write = (chunk: Buffer) => write(chunk);
      response.statusCode = 1000;
    });
    const code = 'ERR_HTTP_INVALID_STATUS_CODE';
    expect(outcome).toEqual({ code, corked: 0, destroyed: false, status: 500 });
  });

  it('of a body that HEAD may not have', async () => {
    const options = { method: 'HEAD', rejectNonStandardBodyWrites: true };
    const outcome = await refused(() => undefined, options);
    const code = 'ERR_HTTP_BODY_NOT_ALLOWED';
    expect(outcome).toMatchObject({ code, destroyed: false });
  });

  it('of a body longer than it was to be, which the peer has a part of', async () => {
    const outcome = await refused((response) => {
      response.strictContentLength = true;
      response.setHeader('content-length', 100_000);
    });
    const code = 'ERR_HTTP_CONTENT_LENGTH_MISMATCH';
    expect(outcome).toEqual({ code, corked: 0, destroyed: true, status: undefined });
  });
});

it('takes its source also when it was aborted before', async () => {
  const options = { signal: AbortSignal.abort() };
  const source = createReadStream(file);
  await once(source, 'open');
  const outcome = sendFile(new PassThrough(), source, options);
  await expect(outcome).rejects.toMatchObject({ code: 'ABORT_ERR' });
  await expect.poll(() => openFiles(file)).toBe(0);
  expect(() => sendFile(new PassThrough(), {} as unknown as string, options)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }) as Error,
  );
});

it('leaves the answer to the application when it is aborted before the file is open', async () => {
  const server = http.createServer((_request, response) => {
    const controller = new AbortController();
    sendFile(response, file, { signal: controller.signal }).catch((error: unknown) => {
      response.writeHead(503).end((error as NodeJS.ErrnoException).code);
    });
    controller.abort();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect([answer.status, await answer.text()]).toEqual([503, 'ABORT_ERR']);
  server.close();
  server.closeAllConnections();
});

it.each([
  ['start', { start: -1 }],
  ['end', { start: 5, end: 4 }],
  ['highWaterMark', { highWaterMark: 0 }],
  ['immutable', { immutable: 1 as unknown as boolean }],
  ['signal', { signal: {} as AbortSignal }],
  ['onProgress', { onProgress: 'yes' as unknown as () => void }],
])('throws for a wrong %s', (_name, options) => {
  expect(() => sendFile(new PassThrough(), file, options)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }) as Error,
  );
});

it('throws for a wrong target or source', () => {
  const code = expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }) as Error;
  expect(() => sendFile({} as PassThrough, file)).toThrow(code);
  expect(() => sendFile(new PassThrough(), {} as unknown as string)).toThrow(code);
});

/** On a host without kernel TLS the package is node:tls that says why. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, truncateSync } from 'node:fs';
import * as https from 'node:https';
import { type AddressInfo, connect as tcpConnect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import * as ktls from '../../lib/index.js';
import { kernelRefusal } from '../../lib/kernel/probe.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { connectPair, exchange, listen, readAll } from '../support/connection.js';
import { fault, withFaults } from '../support/faults.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript } from '../support/script.js';

/** What the host can do decides the reason: `mode: 'off'` gives one that is the same everywhere. */
const off = { mode: 'off' } as const;
const insecure = { rejectUnauthorized: false };
const refusal = kernelRefusal();
const scratch = new Scratch();
afterAll(() => scratch.remove());
const content = randomBytes(1_000_000);
const file = scratch.write('file', content);
/** More than is on its way to a peer that does not read. */
const LARGE = 50 << 20;
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function echoServer(): Promise<number> {
  const { listener, port } = await listen('ktls', off);
  listener.on('secureConnection', (socket: tls.TLSSocket) => socket.pipe(socket));
  cleanups.push(() => listener.close());
  return port;
}

it('carries data both ways, with sockets of node:tls', async () => {
  await using pair = await connectPair({ serverOptions: off, clientOptions: off });
  for (const socket of [pair.server, pair.client]) {
    expect(socket).toBeInstanceOf(tls.TLSSocket);
    expect(socket).toMatchObject({
      offload: { offloaded: false, tx: 'none', rx: 'none', reason: 'ERR_KTLS_OFF' },
    });
  }
  expect(await exchange(pair, 300_000)).toBe(true);
});

it('says why the host does not offload', async () => {
  await using pair = await connectPair();
  const { offload } = pair.client as ktls.ClientSocket;
  expect(offload.reason).toBe(refusal?.code ?? null);
  expect(offload.offloaded).toBe(refusal === null);
  if (refusal !== null) expect(offload.detail).toBe(refusal.message);
});

it.each([
  ['ENOPROTOOPT', 'ERR_KTLS_KERNEL'],
  ['ENOENT', ktls.probe().module === 'absent' ? 'ERR_KTLS_KERNEL' : 'ERR_KTLS_MODULE'],
  ['ENOTCONN', 'ERR_KTLS_ULP'],
  ['EPERM', 'ERR_KTLS_SANDBOX'],
] as const)('says of a kernel that answers TCP_ULP with %s: %s', async (errno, code) => {
  const body = `
    say('probe', ktls.probe().reason.code);
    const listener = server();
    listener.on('secureConnection', (socket) => {
      say('server', socket.offload.reason);
      socket.end();
    });
    const client = connect(await listening(listener));
    await once(client.resume(), 'close');
    say('client', client.offload.reason);
    listener.close();
  `;
  const env = { ...withFaults(), KTLS_FAULT: fault('ulp', errno, 0) };
  const ended = await runScript(body, { env });
  expect(ended).toMatchObject({
    ...clean,
    stdout: `probe ${code}\nserver ${code}\nclient ${code}\n`,
  });
});

it('says where the kernel has its TLS', () => {
  const { module, reason } = ktls.probe();
  if (refusal === null) expect(module).toMatch(/^(loaded|built-in)$/);
  else if (refusal.code === 'ERR_KTLS_KERNEL') expect(module).toBe('absent');
  else if (refusal.code === 'ERR_KTLS_MODULE') expect([null, 'loadable']).toContain(module);
  expect(reason).toBe(refusal);
});

it.each([
  [
    '(options, callback)',
    (port: number, done: () => void) =>
      ktls.connect({ port, host: '127.0.0.1', ...insecure, ...off }, done),
  ],
  [
    '(port, options, callback)',
    (port: number, done: () => void) =>
      ktls.connect(port, { host: '127.0.0.1', ...insecure, ...off }, done),
  ],
  [
    '(port, host, options, callback)',
    (port: number, done: () => void) =>
      ktls.connect(port, '127.0.0.1', { ...insecure, ...off }, done),
  ],
])('connects with the signature %s', async (_name, connect) => {
  const port = await echoServer();
  const socket = await new Promise<ktls.ClientSocket>((resolve, reject) => {
    const connecting = connect(port, () => resolve(connecting));
    connecting.on('error', reject);
  });
  socket.end('hello');
  expect((await readAll(socket)).toString()).toBe('hello');
});

it('offloads an https server that then serves as before', async () => {
  const server = ktls.offload(
    https.createServer(ecdsaCertificate(), (request, response) => {
      response.end(`you asked for ${request.url ?? ''}`);
    }),
    off,
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const request = https.get({ port, host: '127.0.0.1', path: '/x', agent: false, ...insecure });
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  expect(body).toBe('you asked for /x');
});

it("leaves an option 'socket' that is no TCP socket to node:tls", async () => {
  const port = await echoServer();
  const raw = tcpConnect(port, '127.0.0.1');
  const stream = Duplex.from({ readable: raw, writable: raw });
  const socket = ktls.connect({ socket: stream, ...insecure });
  socket.end('through');
  expect((await readAll(socket)).toString()).toBe('through');
  expect(socket.offload.reason).toBe('ERR_KTLS_NOT_TCP');
});

it('leaves Unix sockets to node:tls, on both sides', async () => {
  const path = join(tmpdir(), `ktls-test-${process.pid}.sock`);
  const server = ktls.createServer(ecdsaCertificate(), (socket) => socket.pipe(socket));
  server.listen(path);
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    rmSync(path, { force: true });
  });
  for (const connect of [
    () => ktls.connect({ path, ...insecure }),
    () => ktls.connect(path, insecure),
  ]) {
    const socket = connect();
    socket.end('local');
    expect((await readAll(socket)).toString()).toBe('local');
    expect(socket.offload.reason).toBe('ERR_KTLS_NOT_TCP');
  }
});

it.skipIf(refusal === null)(
  "with mode 'require' on a host that cannot, a client fails before it sends a byte",
  async () => {
    let received = 0;
    const server = createTcpServer((socket) => socket.on('data', () => received++));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const socket = ktls.connect({ port, host: '127.0.0.1', mode: 'require' });
    socket.write('secret');
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({ code: refusal!.code });
    expect(socket.destroyed).toBe(true);
    expect(received).toBe(0);
  },
);

it.skipIf(refusal === null)(
  "with mode 'require' on a host that cannot, a server refuses and reports",
  async () => {
    const { listener, port } = await listen('ktls', { mode: 'require' });
    cleanups.push(() => listener.close());
    const reported = once(listener, 'tlsClientError').then(([error, socket]) => {
      const { remoteAddress, remotePort, localPort } = socket as tls.TLSSocket;
      return { error: error as Error, remoteAddress, remotePort, localPort };
    });
    const client = tls.connect({ port, host: '127.0.0.1', ...insecure });
    client.on('error', () => undefined);
    await once(client, 'connect');
    const remotePort = client.localPort;
    expect(await reported).toMatchObject({
      error: { code: refusal!.code },
      remoteAddress: '127.0.0.1',
      remotePort,
      localPort: port,
    });
    await new Promise((resolve) => client.once('close', resolve));
  },
);

it('rejects a wrong mode', () => {
  const mode = 'always' as 'prefer';
  const code = 'ERR_INVALID_ARG_VALUE';
  expect(() => ktls.connect({ port: 1, mode })).toThrow(expect.objectContaining({ code }));
  expect(() => ktls.createServer({ mode })).toThrow(expect.objectContaining({ code }));
  expect(() => ktls.offload(tls.createServer(), { mode })).toThrow(
    expect.objectContaining({ code }),
  );
});

it('rejects what is no TLS server, and the same server twice', () => {
  const server = ktls.createServer();
  expect(() => ktls.offload(server)).toThrow(
    expect.objectContaining({ code: 'ERR_KTLS_ALREADY_OFFLOADED' }),
  );
  expect(() => ktls.offload(createTcpServer() as unknown as tls.Server)).toThrow(
    expect.objectContaining({ code: 'ERR_KTLS_NOT_A_TLS_SERVER' }),
  );
});

it('rejects the server of another copy of itself, which has its settings', async () => {
  const server = ktls.createServer();
  vi.resetModules();
  const other = await import('../../lib/index.js');
  expect(other.offload).not.toBe(ktls.offload);
  expect(() => other.offload(server)).toThrow(
    expect.objectContaining({ code: 'ERR_KTLS_ALREADY_OFFLOADED' }),
  );
});

it('is not for others to construct', () => {
  const init = {} as ConstructorParameters<typeof ktls.OffloadedSocket>[0];
  expect(() => new ktls.OffloadedSocket(init)).toThrow(
    expect.objectContaining({ code: 'ERR_ILLEGAL_CONSTRUCTOR' }),
  );
});

for (const role of ['server', 'client'] as const) {
  const carried = async () => {
    const pair = await connectPair({ serverOptions: off, clientOptions: off });
    const socket = pair[role] as ktls.UserSpaceSocket;
    const peer = pair[role === 'server' ? 'client' : 'server'];
    return { pair, socket, peer };
  };

  it(`sends files between the writes of a ${role}’s socket`, async () => {
    const { pair, socket, peer } = await carried();
    await using _ = pair;
    const received = readAll(peer);
    const seen: number[] = [];
    socket.write('before ');
    const first = socket.sendFile(file, { start: 1, end: 500_000 });
    const absent = socket.sendFile(scratch.path('absent')).catch((error: unknown) => error);
    socket.write(' between ');
    const aborted = socket.sendFile(file, { signal: AbortSignal.abort() });
    const second = socket.sendFile(file, { onProgress: (bytes) => seen.push(bytes) });
    aborted.catch(() => undefined);
    socket.end(' after');
    const expected = Buffer.concat([
      Buffer.from('before '),
      content.subarray(1, 500_001),
      Buffer.from(' between '),
      content,
      Buffer.from(' after'),
    ]);
    expect((await received).equals(expected)).toBe(true);
    expect(await Promise.all([first, second])).toEqual([500_000, content.length]);
    expect(await absent).toMatchObject({ code: 'ENOENT' });
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen.at(-1)).toBe(content.length);
    expect(socket.bytesWritten).toBe(expected.length);
    expect(() => socket.sendFile(file, { start: -1 })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
    );
  });

  it(`ends with an error if a ${role}’s file becomes shorter, or its socket is destroyed`, async () => {
    for (const [happens, code] of [
      [(path: string) => truncateSync(path, 1 << 20), 'ERR_KTLS_FILE_TRUNCATED'],
      [
        (_path: string, socket: tls.TLSSocket) => void socket.destroy(),
        'ERR_KTLS_SEND_INTERRUPTED',
      ],
    ] as const) {
      const { pair, socket, peer } = await carried();
      await using _ = pair;
      peer.on('error', () => undefined).resume();
      const path = scratch.write('large', Buffer.alloc(LARGE));
      socket.on('error', () => undefined);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      const sent = socket.sendFile(path, { onProgress: () => happens(path, socket) });
      await expect(sent).rejects.toMatchObject({ code });
      await closed;
    }
  });

  it(`resets a ${role}’s connection if a file is aborted in its middle`, async () => {
    const { pair, socket, peer } = await carried();
    await using _ = pair;
    const abort = new AbortController();
    const errors: unknown[] = [];
    socket.on('error', (error) => errors.push(error));
    peer.on('error', () => undefined).pause();
    const { signal } = abort;
    const sent = socket.sendFile(scratch.write('large', Buffer.alloc(LARGE)), { signal });
    sent.catch(() => undefined);
    let written = -1;
    await expect
      .poll(() => written === (written = socket.bytesWritten) && written > 0, { interval: 50 })
      .toBe(true);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    abort.abort();
    await expect(sent).rejects.toMatchObject({ name: 'AbortError' });
    await closed;
    expect(errors).toMatchObject([{ name: 'AbortError' }]);
    // A peer that had got a FIN could still write.
    const error = await new Promise((resolve) => peer.write('x', resolve));
    expect(error).toMatchObject({ code: 'ECONNRESET' });
  });

  it(`says what a ${role}’s socket cannot: change keys, tell a clean end from a cut`, async () => {
    const { pair, socket, peer } = await carried();
    await using _ = pair;
    await expect(socket.updateKeys()).rejects.toMatchObject({ code: 'ERR_KTLS_NO_REKEY' });
    peer.end();
    expect((await readAll(socket)).length).toBe(0);
    expect(socket.closeNotifyReceived).toBe(null);
  });
}

it('sends a file in the first turn of a client that is still connecting', async () => {
  const port = await echoServer();
  const socket = ktls.connect({ port, host: '127.0.0.1', ...insecure, ...off });
  expect(await socket.sendFile(file, { end: 99 })).toBe(100);
  socket.end();
  expect((await readAll(socket)).equals(content.subarray(0, 100))).toBe(true);
});

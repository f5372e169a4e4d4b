/** What an `https.Server` of Node does with offloaded connections: HTTP itself. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, Server as HttpServer } from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { Agent as OffloadingAgent } from '../../lib/https.js';
import { OffloadedSocket, stats } from '../../lib/index.js';
import {
  type AnySocket,
  digest,
  isOffloaded,
  readAll,
  readExactly,
} from '../support/connection.js';
import { clientCertificate } from '../support/certificates.js';
import {
  closed,
  nextOf,
  rawClient,
  rawRequest,
  readUntil,
  request,
  serve,
} from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
let decryptErrors: number | undefined;
beforeEach(() => {
  decryptErrors = stats()?.['TlsDecryptError'];
});
afterEach(() => {
  expect(stats()?.['TlsDecryptError']).toBe(decryptErrors);
});
afterAll(() => onlyOpen(socketsBefore));

const echo = (message: IncomingMessage, response: NodeJS.WritableStream): void => {
  message.pipe(response);
};

async function connections(server: HttpServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

describeKernel('requests', () => {
  it('of a keep-alive agent share one connection', async () => {
    await using serving = await serve((message, response) => response.end(message.url));
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    for (const path of ['/one', '/two', '/three']) {
      const { body } = await request(serving.port, { agent, path });
      expect(body.toString()).toBe(path);
    }
    expect(serving.accepted.map(isOffloaded)).toEqual([true]);
    agent.destroy();
  });

  it("of our agent resume the session of the connection before, and give their keys to 'keylog'", async () => {
    await using serving = await serve((message, response) => response.end(message.url));
    const agent = new OffloadingAgent();
    const lines: string[] = [];
    agent.on('keylog', (line: Buffer) => lines.push(line.toString()));
    for (const path of ['/one', '/two', '/three']) {
      const { body, message } = await request(serving.port, { agent, path });
      expect(body.toString()).toBe(path);
      // Tickets come ahead of the answer.
      expect(isOffloaded(message.socket as AnySocket)).toBe(true);
    }
    expect(serving.accepted.map((each) => [isOffloaded(each), each.isSessionReused()])).toEqual([
      [true, false],
      [true, true],
      [true, true],
    ]);
    expect(lines.join('').match(/^CLIENT_TRAFFIC_SECRET_0 /gm)).toHaveLength(3);
  });

  it('made at the same time have a connection each', async () => {
    await using serving = await serve((message, response) => response.end(message.url));
    const paths = ['/a', '/b', '/c', '/d'];
    const answers = await Promise.all(paths.map((path) => request(serving.port, { path })));
    expect(answers.map(({ body }) => body.toString())).toEqual(paths);
    expect(serving.accepted.map(isOffloaded)).toEqual([true, true, true, true]);
  });

  it('pipelined in one segment are answered in order', async () => {
    const answers: Record<string, () => void> = {};
    await using serving = await serve((message, response) => {
      answers[message.url!] = () => response.end(`answer to ${message.url}.`);
      if (Object.keys(answers).length < 3) return;
      for (const path of ['/3', '/1', '/2']) answers[path]!();
    });
    const client = await rawClient(serving.port);
    client.write(['/1', '/2', '/3'].map((path) => rawRequest(`GET ${path}`)).join(''));
    const text = await readUntil(client, 'answer to /3.');
    expect(text.match(/answer to .../g)).toEqual([
      'answer to /1.',
      'answer to /2.',
      'answer to /3.',
    ]);
    client.destroy();
  });

  it('with a large body are echoed while they come', async () => {
    await using serving = await serve(echo);
    const body = randomBytes(3_000_000);
    const outgoing = https.request({
      ...{ host: '127.0.0.1', port: serving.port, method: 'POST' },
      ...{ agent: false, rejectUnauthorized: false },
    });
    const pieces = Array.from({ length: 300 }, (_, index) =>
      body.subarray(index * 10_000, (index + 1) * 10_000),
    );
    Readable.from(pieces).pipe(outgoing);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    const echoed: Buffer[] = [];
    for await (const chunk of answer) echoed.push(chunk as Buffer);
    expect(digest(Buffer.concat(echoed))).toBe(digest(body));
    expect(serving.accepted.map(isOffloaded)).toEqual([true]);
  });

  it('whose body nobody reads leave the connection usable', async () => {
    await using serving = await serve((_, response) => response.end('enough'));
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const body = randomBytes(500_000);
    for (let round = 0; round < 3; round++) {
      const answer = await request(serving.port, { agent, method: 'POST', body });
      expect(answer.body.toString()).toBe('enough');
    }
    expect(serving.accepted).toHaveLength(1);
    agent.destroy();
  });

  it('with "Connection: close" end the connection cleanly behind the answer', async () => {
    const page = randomBytes(300_000);
    await using serving = await serve((_, response) => response.end(page));
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /', 'Connection: close'));
    const answer = await readAll(client);
    expect(answer.subarray(-page.length).equals(page)).toBe(true);
    expect(client).toMatchObject({ closeNotifyReceived: true });
  });

  it('that expect 100-continue get it', async () => {
    await using serving = await serve(echo);
    const outgoing = https.request({
      ...{ host: '127.0.0.1', port: serving.port, method: 'POST' },
      ...{ agent: false, rejectUnauthorized: false, headers: { Expect: '100-continue' } },
    });
    outgoing.flushHeaders();
    await once(outgoing, 'continue');
    outgoing.end('body');
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect((await answer.toArray()).join('')).toBe('body');
  });
});

describeKernel('req.socket', () => {
  it('is an offloaded socket with all that node:tls says of one', async () => {
    let seen: OffloadedSocket | undefined;
    let certificate: unknown;
    const shown = clientCertificate();
    await using serving = await serve(
      (message, response) => {
        seen = message.socket as OffloadedSocket;
        certificate = seen.getPeerCertificate();
        response.end();
      },
      { options: { requestCert: true, rejectUnauthorized: true, ca: shown.cert } },
    );
    const agent = new https.Agent({ keepAlive: true });
    const { localPort } = await request(serving.port, {
      agent,
      ALPNProtocols: ['http/1.1'],
      servername: 'localhost',
      ...shown,
    });
    expect(seen).toBeInstanceOf(OffloadedSocket);
    expect(seen).toMatchObject({
      encrypted: true,
      authorized: true,
      remoteAddress: '127.0.0.1',
      remoteFamily: 'IPv4',
      remotePort: localPort,
      localPort: serving.port,
      alpnProtocol: 'http/1.1',
      servername: 'localhost',
      offload: { offloaded: true, version: 'TLSv1.3', reason: null },
    });
    expect(certificate).toMatchObject({ subject: { CN: 'client' } });
    expect(seen!.getProtocol()).toBe('TLSv1.3');
    expect(seen!.bytesRead).toBeGreaterThan(0);
    agent.destroy();
  });

  it('is not authorized without a certificate', async () => {
    let socket: OffloadedSocket | undefined;
    await using serving = await serve(
      (message, response) => {
        socket = message.socket as OffloadedSocket;
        response.end();
      },
      { options: { requestCert: true, rejectUnauthorized: false } },
    );
    await request(serving.port);
    expect(socket).toMatchObject({ authorized: false, servername: false });
    expect(socket!.getPeerCertificate()).toEqual({});
  });
});

describeKernel('an upgrade', () => {
  async function upgrading(): Promise<{
    serving: Awaited<ReturnType<typeof serve>>;
    upgraded: Promise<[IncomingMessage, AnySocket, Buffer]>;
  }> {
    const serving = await serve((_, response) => response.end());
    const upgraded = once(serving.server, 'upgrade') as Promise<
      [IncomingMessage, AnySocket, Buffer]
    >;
    return { serving, upgraded };
  }
  const headers = { Connection: 'Upgrade', Upgrade: 'raw' };
  const accepts = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n';

  it('gives both sides raw bytes in both directions', async () => {
    const { serving, upgraded } = await upgrading();
    await using _ = serving;
    const outgoing = https.request({
      ...{ host: '127.0.0.1', port: serving.port, headers },
      ...{ agent: false, rejectUnauthorized: false },
    });
    outgoing.end();
    const [, server, head] = await upgraded;
    expect(isOffloaded(server)).toBe(true);
    expect(head).toHaveLength(0);
    server.write(`${accepts}welcome`);
    const [, client, first] = (await once(outgoing, 'upgrade')) as [
      IncomingMessage,
      Socket,
      Buffer,
    ];
    client.unshift(first);
    expect((await readExactly(client, 7)).toString()).toBe('welcome');

    const [down, up] = [randomBytes(200_000), randomBytes(200_000)];
    server.write(down);
    client.write(up);
    const [atClient, atServer] = await Promise.all([
      readExactly(client, down.length),
      readExactly(server, up.length),
    ]);
    expect(atClient.equals(down)).toBe(true);
    expect(atServer.equals(up)).toBe(true);

    client.end('bye');
    expect((await readAll(server)).toString()).toBe('bye');
    await closed(server);
  });

  it('hands over the bytes that came in the segment of the request', async () => {
    const { serving, upgraded } = await upgrading();
    await using _ = serving;
    const client = await rawClient(serving.port);
    client.write(`${rawRequest('GET /', 'Connection: Upgrade', 'Upgrade: raw')}head`);
    const [, server, head] = await upgraded;
    expect(head.toString()).toBe('head');
    client.write('more');
    expect((await readExactly(server, 4)).toString()).toBe('more');
    server.end(`${accepts}answer`);
    expect((await readAll(client)).toString()).toBe(`${accepts}answer`);
    expect(client).toMatchObject({ closeNotifyReceived: true });
    await closed(server);
  });

  it('by CONNECT makes a tunnel', async () => {
    const { serving } = await upgrading();
    await using _ = serving;
    const connected = once(serving.server, 'connect') as Promise<
      [IncomingMessage, AnySocket, Buffer]
    >;
    const client = await rawClient(serving.port);
    client.write(`${rawRequest('CONNECT elsewhere:443')}early`);
    const [message, server, head] = await connected;
    expect(message.url).toBe('elsewhere:443');
    server.write(`HTTP/1.1 200 OK\r\n\r\n${head.toString()}`);
    expect(await readUntil(client, '\r\n\r\nearly')).toContain('200');
    const data = randomBytes(100_000);
    server.pipe(server);
    client.write(data);
    expect((await readExactly(client, data.length)).equals(data)).toBe(true);
    client.destroy();
    await closed(server);
  });
});

// Each is far more than a client takes to write what it has: a reset would be its answer to what comes later.
describeKernel("a server's limits", () => {
  const impatient = { connectionsCheckingInterval: 50 };

  it.each([
    [
      'headersTimeout',
      { ...impatient, headersTimeout: 1000, requestTimeout: 60_000 },
      'GET / HTTP/1.1\r\nHost:',
    ],
    [
      'requestTimeout',
      { ...impatient, headersTimeout: 1000, requestTimeout: 1000 },
      rawRequest('POST /', 'Content-Length: 10'),
    ],
  ])('%s ends a slow request with 408', async (_, options, text) => {
    await using serving = await serve((message) => message.resume(), { options });
    const client = await rawClient(serving.port);
    client.write(text);
    expect((await readAll(client)).toString()).toMatch(/^HTTP\/1.1 408 /);
    await closed(serving.accepted[0]!);
  });

  it('keepAliveTimeout ends an idle connection', async () => {
    await using serving = await serve((_, response) => response.end('done'));
    serving.server.keepAliveTimeout = 100;
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /'));
    expect((await readAll(client)).toString()).toMatch(/done$/);
    await closed(serving.accepted[0]!);
  });

  it('timeout ends a connection on which nothing moves', async () => {
    await using serving = await serve(() => undefined);
    serving.server.timeout = 1000;
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /'));
    expect(await readAll(client)).toHaveLength(0);
    await closed(serving.accepted[0]!);
  });

  it("'timeout' leaves the connection to its listener", async () => {
    await using serving = await serve(() => undefined);
    serving.server.timeout = 200;
    const silent = once(serving.server, 'timeout') as Promise<[AnySocket]>;
    const client = await rawClient(serving.port);
    const [socket] = await silent;
    expect(socket).toBe(serving.accepted[0]);
    expect(socket.destroyed).toBe(false);
    client.destroy();
  });

  it('maxRequestsPerSocket answers one request too many with 503', async () => {
    await using serving = await serve((_, response) => response.end('done'));
    serving.server.maxRequestsPerSocket = 2;
    serving.server.keepAliveTimeout = 100;
    const client = await rawClient(serving.port);
    client.write(['/1', '/2', '/3'].map((path) => rawRequest(`GET ${path}`)).join(''));
    const text = (await readAll(client)).toString();
    expect(text.match(/HTTP\/1.1 ...|^Connection: .*$/gm)).toEqual([
      ...['HTTP/1.1 200', 'Connection: keep-alive'],
      ...['HTTP/1.1 200', 'Connection: close'],
      ...['HTTP/1.1 503', 'Connection: close'],
    ]);
  });

  it('maxConnections turns away who comes too late', async () => {
    await using serving = await serve((_, response) => response.end('done'));
    serving.server.maxConnections = 1;
    const client = await rawClient(serving.port);
    const dropped = once(serving.server, 'drop');
    await expect(request(serving.port)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await dropped;
    const gone = closed(serving.accepted[0]!);
    client.destroy();
    await gone;
    expect((await request(serving.port)).status).toBe(200);
  });
});

describeKernel('closing a server', () => {
  /** One connection that waits for its answer and one that waits for a request. */
  async function busyAndIdle() {
    let answer: (() => void) | undefined;
    const serving = await serve((message, response) => {
      if (message.url === '/idle') response.end('idle');
      else answer = () => response.end('busy');
    });
    serving.server.keepAliveTimeout = 0;
    const idle = await rawClient(serving.port);
    idle.write(rawRequest('GET /idle'));
    await readUntil(idle, '\r\n\r\nidle');
    const busy = await rawClient(serving.port);
    const requested = once(serving.server, 'request');
    busy.write(rawRequest('GET /busy', 'Connection: close'));
    await requested;
    const [idleSocket, busySocket] = serving.accepted;
    return {
      ...{ serving, server: serving.server, idle, busy },
      ...{ idleSocket: idleSocket!, busySocket: busySocket!, answer: () => answer!() },
    };
  }

  it('counts the open connections', async () => {
    const { server, idle, busy, idleSocket, busySocket, serving } = await busyAndIdle();
    await using _ = serving;
    expect(await connections(server)).toBe(2);
    idle.destroy();
    await closed(idleSocket);
    expect(await connections(server)).toBe(1);
    busy.destroy();
    await closed(busySocket);
    expect(await connections(server)).toBe(0);
  });

  it('close() ends idle connections and waits for the answer of others', async () => {
    const { server, idle, idleSocket, busy, answer } = await busyAndIdle();
    let over = false;
    server.close(() => (over = true));
    expect(await readAll(idle)).toHaveLength(0);
    await closed(idleSocket);
    expect(over).toBe(false);
    expect(await connections(server)).toBe(1);
    const ended = once(server, 'close');
    answer();
    expect((await readAll(busy)).toString()).toMatch(/busy$/);
    await ended;
    expect(await connections(server)).toBe(0);
  });

  it('closeIdleConnections() leaves the busy ones', async () => {
    const { server, idle, idleSocket, busy, answer, serving } = await busyAndIdle();
    await using _ = serving;
    server.closeIdleConnections();
    expect(await readAll(idle)).toHaveLength(0);
    await closed(idleSocket);
    expect(await connections(server)).toBe(1);
    answer();
    expect((await readAll(busy)).toString()).toMatch(/busy$/);
  });

  it('closeAllConnections() spares none', async () => {
    const { server, idle, busy, idleSocket, busySocket, serving } = await busyAndIdle();
    await using _ = serving;
    server.closeAllConnections();
    await Promise.all([idle, busy, idleSocket, busySocket].map(closed));
    expect(await connections(server)).toBe(0);
  });

  it('close() waits for a handshake that is under way', async () => {
    await using serving = await serve((_, response) => response.end('late'));
    const { server } = serving;
    const connecting = rawClient(serving.port);
    await once(server, 'connection');
    let over = false;
    server.close(() => (over = true));
    const client = await connecting;
    expect(over).toBe(false);
    const ended = once(server, 'close');
    client.end();
    client.resume();
    await ended;
  });
});

describeKernel('garbage behind the handshake', () => {
  it('is answered with 400 by default', async () => {
    await using serving = await serve(() => expect.unreachable());
    const client = await rawClient(serving.port);
    client.write('no HTTP at all\r\n\r\n');
    expect((await readAll(client)).toString()).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
    await closed(serving.accepted[0]!);
  });

  it("is reported as 'clientError' with our socket", async () => {
    await using serving = await serve(() => expect.unreachable());
    const reported = once(serving.server, 'clientError') as Promise<[Error, AnySocket]>;
    const client = await rawClient(serving.port);
    client.write('no HTTP at all\r\n\r\n');
    const [error, socket] = await reported;
    expect(error).toMatchObject({
      code: 'HPE_INVALID_METHOD',
      bytesParsed: expect.any(Number) as number,
    });
    expect(socket).toBe(serving.accepted[0]);
    socket.end('HTTP/1.1 418 No\r\n\r\n');
    expect((await readAll(client)).toString()).toBe('HTTP/1.1 418 No\r\n\r\n');
    expect(client).toMatchObject({ closeNotifyReceived: true });
  });

  it("that is a reset reaches 'clientError' too", async () => {
    await using serving = await serve(() => expect.unreachable());
    const reported = once(serving.server, 'clientError') as Promise<[Error, AnySocket]>;
    const secured = once(serving.server, 'secureConnection') as Promise<[AnySocket]>;
    const client = await rawClient(serving.port);
    client.write('GET / HTTP/1.1\r\n');
    const [socket] = await secured;
    if (socket.bytesRead === 0) await nextOf(socket, 'data');
    client.resetAndDestroy();
    const [error, reset] = await reported;
    expect(error).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
    expect(reset).toBe(socket);
  });

  // It may end before or after the hand-over, but never unnoticed.
  it('that is a reset right behind the handshake is reported', async () => {
    await using serving = await serve(() => expect.unreachable());
    const noticed = Promise.race([
      once(serving.server, 'tlsClientError'),
      once(serving.server, 'secureConnection').then(([socket]) => closed(socket as AnySocket)),
    ]);
    const client = await rawClient(serving.port);
    client.write('GET / HTTP/1.1\r\n', () => client.resetAndDestroy());
    await noticed;
  });
});

describeKernel("the accepted TCP socket, in the user's own 'connection' listener", () => {
  it('has the addresses', async () => {
    await using serving = await serve((_, response) => response.end());
    const arrived = once(serving.server, 'connection') as Promise<[Socket]>;
    const client = await rawClient(serving.port);
    const [raw] = await arrived;
    expect(raw).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: client.localPort });
    client.destroy();
  });

  it('may be destroyed at once', async () => {
    await using serving = await serve(() => expect.unreachable());
    serving.server.once('connection', (raw: Socket) => raw.destroy());
    await expect(request(serving.port)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(serving.accepted).toHaveLength(0);
    expect(await connections(serving.server)).toBe(0);
  });

  // That listener is none of the server's any more when ours is called.
  it('is all that it is for a listener that is called once and first', async () => {
    await using serving = await serve((_, response) => response.end());
    const arrived = new Promise<Socket>((resolve) => {
      serving.server.prependOnceListener('connection', resolve);
    });
    const client = await rawClient(serving.port);
    const raw = await arrived;
    expect(raw).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: client.localPort });
    raw.destroy();
    await closed(client);
    expect(await connections(serving.server)).toBe(0);
  });

  it('takes our socket with it whenever it is destroyed', async () => {
    await using serving = await serve((_, response) => response.end());
    const arrived = once(serving.server, 'connection') as Promise<[Socket]>;
    const secured = once(serving.server, 'secureConnection') as Promise<[AnySocket]>;
    const client = await rawClient(serving.port);
    const [[raw], [socket]] = await Promise.all([arrived, secured]);
    const closes: unknown[] = [];
    socket.on('close', (hadError) => closes.push(['ours', hadError]));
    raw.on('close', (hadError) => closes.push(['raw', hadError]));
    const rawClosed = once(raw, 'close');
    const { bytesRead, bytesWritten } = raw;
    raw.destroy();
    await Promise.all([rawClosed, closed(socket), closed(client)]);
    expect(socket.destroyed).toBe(true);
    expect(closes).toEqual([
      ['ours', false],
      ['raw', false],
    ]);
    expect(raw).toMatchObject({ bytesRead, bytesWritten });
    expect(await connections(serving.server)).toBe(0);
  });

  it('closes when our socket does', async () => {
    await using serving = await serve((_, response) => response.end());
    const arrived = once(serving.server, 'connection') as Promise<[Socket]>;
    const secured = once(serving.server, 'secureConnection') as Promise<[AnySocket]>;
    const client = await rawClient(serving.port);
    const [[raw], [socket]] = await Promise.all([arrived, secured]);
    const gone = once(raw, 'close');
    socket.destroy();
    expect(await gone).toEqual([false]);
    await closed(client);
  });
});

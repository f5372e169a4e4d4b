/** `ktls/http2`, and `ktls/https` beside it: both ends under kernel TLS. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import * as tls from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import * as http2 from '../../lib/http2.js';
import * as https from '../../lib/https.js';
import { type OffloadedSocket, stats } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type AnySocket, isOffloaded } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));
const insecure = { rejectUnauthorized: false };

let server: nodeHttp2.Http2SecureServer;
let origin: string;
let accepted: AnySocket[];
let decryptErrors: number | undefined;

async function serve(options: http2.SecureServerOptions = {}): Promise<void> {
  accepted = [];
  server = http2.createSecureServer({ ...ecdsaCertificate(), ...options });
  server.on('secureConnection', (socket) => accepted.push(socket as AnySocket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(() => {
  decryptErrors = stats()?.['TlsDecryptError'];
});
afterEach(async () => {
  for (const socket of accepted) socket.destroy();
  server.close();
  await once(server, 'close');
  expect(stats()?.['TlsDecryptError']).toBe(decryptErrors);
});

async function connected(options = {}): Promise<nodeHttp2.ClientHttp2Session> {
  const session = http2.connect(origin, { ...insecure, ...options });
  await once(session, 'connect');
  return session;
}

async function readAll(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function closed(session: nodeHttp2.Http2Session): Promise<void> {
  if (!session.destroyed) await once(session, 'close');
}

describeKernel('an http2 session', () => {
  it('is offloaded at both ends, and says all that it says over node:tls', async () => {
    await serve();
    const serving = once(server, 'session') as Promise<[nodeHttp2.ServerHttp2Session]>;
    const session = await connected();
    const [serverSession] = await serving;
    expect(accepted.map(isOffloaded)).toEqual([true]);
    for (const end of [session, serverSession]) {
      expect(end).toMatchObject({ encrypted: true, alpnProtocol: 'h2' });
      // Looked at one by one: http2 shows its socket through a Proxy.
      const { alpnProtocol, encrypted, remoteAddress, offload } =
        end.socket as unknown as OffloadedSocket;
      expect({ alpnProtocol, encrypted, remoteAddress }).toEqual({
        alpnProtocol: 'h2',
        encrypted: true,
        remoteAddress: '127.0.0.1',
      });
      expect(offload.offloaded).toBe(true);
    }
    expect(session.socket.remotePort).toBe((server.address() as AddressInfo).port);
    expect(session.originSet).toEqual([origin]);
    session.close();
    await closed(session);
  });

  it('carries large bodies both ways in many streams at once', async () => {
    await serve();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const session = await connected();
    const bodies = Array.from({ length: 8 }, (_, index) => randomBytes(index * 60_000 + 1));
    const answers = await Promise.all(
      bodies.map((body) => readAll(session.request({ ':method': 'POST' }).end(body))),
    );
    expect(answers.map((answer, index) => answer.equals(bodies[index]!))).toEqual(
      bodies.map(() => true),
    );
    session.close();
    await closed(session);
  });

  it('serves request listeners, with trailers and flow control', async () => {
    await serve();
    const page = randomBytes(700_000);
    server.on('request', (request, response) => {
      response.setHeader('x-remote', request.socket.remoteAddress ?? '');
      response.addTrailers({ 'x-done': 'yes' });
      response.end(page);
    });
    const session = await connected({ settings: { initialWindowSize: 1000 } });
    const stream = session.request({ ':path': '/page' });
    const [headers] = (await once(stream, 'response')) as [nodeHttp2.IncomingHttpHeaders];
    expect(headers['x-remote']).toBe('127.0.0.1');
    const trailers = once(stream, 'trailers');
    expect((await readAll(stream)).equals(page)).toBe(true);
    expect((await trailers)[0]).toMatchObject({ 'x-done': 'yes' });
    session.close();
    await closed(session);
  });

  it('resumes the TLS session of another', async () => {
    await serve();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('tickets come ahead of it');
    });
    const first = await connected();
    const socket = first.socket as unknown as OffloadedSocket;
    let tls: Buffer | undefined;
    socket.on('session', (session: Buffer) => (tls = session));
    await readAll(first.request().end());
    first.close();
    await closed(first);
    const second = await connected({ session: tls });
    expect((second.socket as unknown as OffloadedSocket).isSessionReused()).toBe(true);
    await expect.poll(() => accepted.length).toBe(2);
    expect(accepted.map((each) => [isOffloaded(each), each.isSessionReused()])).toEqual([
      [true, false],
      [true, true],
    ]);
    second.close();
    await closed(second);
  });

  it('answers pings and ends cleanly when the server closes it', async () => {
    await serve();
    const serving = once(server, 'session') as Promise<[nodeHttp2.ServerHttp2Session]>;
    const session = await connected();
    const payload = Buffer.from('8 bytes.');
    const answered = await new Promise((resolve, reject) => {
      session.ping(payload, (error, _duration, echoed) =>
        error ? reject(error) : resolve(echoed),
      );
    });
    expect(answered).toEqual(payload);
    const goaway = once(session, 'goaway');
    (await serving)[0].close();
    await goaway;
    await closed(session);
  });

  it.each(['client', 'server'])(
    'that its %s destroys in mid-transfer takes the socket with it',
    async (who) => {
      await serve();
      const serving = once(server, 'session') as Promise<[nodeHttp2.ServerHttp2Session]>;
      server.on('stream', (stream) => {
        stream.on('error', () => undefined);
        stream.respond({ ':status': 200 });
        stream.write(Buffer.alloc(1_000_000));
      });
      const session = await connected();
      session.on('error', () => undefined);
      const [serverSession] = await serving;
      serverSession.on('error', () => undefined);
      const stream = session.request({ ':path': '/' });
      stream.on('error', () => undefined);
      await once(stream, 'data');
      const bothClosed = Promise.all([closed(session), closed(serverSession)]);
      (who === 'client' ? session : serverSession).destroy();
      await bothClosed;
      expect(accepted[0]!.destroyed).toBe(true);
    },
  );

  it('times out when nothing moves', async () => {
    await serve();
    server.setTimeout(1000);
    const session = await connected();
    await closed(session);
  });

  it('works with a peer that is not offloaded, either way', async () => {
    await serve();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('from the kernel');
    });
    const plain = nodeHttp2.connect(origin, insecure);
    expect((await readAll(plain.request({ ':path': '/' }))).toString()).toBe('from the kernel');
    plain.close();
    await closed(plain);

    const other = nodeHttp2.createSecureServer(ecdsaCertificate(), (_request, response) => {
      response.end('from user space');
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const session = http2.connect(
      `https://127.0.0.1:${(other.address() as AddressInfo).port}`,
      insecure,
    );
    expect((await readAll(session.request({ ':path': '/' }))).toString()).toBe('from user space');
    expect((session.socket as unknown as OffloadedSocket).offload.offloaded).toBe(true);
    session.close();
    await closed(session);
    other.close();
  });
});

describeKernel('a session that has stopped reading', () => {
  it('still learns that its peer has ended', async () => {
    await serve();
    const sessions: nodeHttp2.ServerHttp2Session[] = [];
    server.on('session', (session) => sessions.push(session));
    const session = await connected();
    const request = session.request({ ':method': 'POST' });
    server.on('stream', (stream) => {
      stream.on('data', () => {
        stream.write('x');
        process.nextTick(() => request.destroy());
      });
    });
    request.resume();
    request.write(Buffer.alloc(64 * 1024));
    await once(request, 'close');
    session.close();
    await closed(session);
    for (const each of sessions) await closed(each);
    expect(accepted.map(isOffloaded)).toEqual([true]);
  });
});

describeKernel('a client that half-closes behind its request', () => {
  /** RFC 9113 section 4.1. */
  function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.set([type, flags], 3);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  }

  /** A client whose windows are wide, and its request, which is "GET https://a/" by the static table (RFC 7541). */
  async function client(): Promise<{ socket: tls.TLSSocket; request: Buffer }> {
    const options = { ALPNProtocols: ['h2'], allowHalfOpen: true, ...insecure };
    const port = Number(new URL(origin).port);
    const socket = tls.connect({ port, host: '127.0.0.1', ...options });
    await once(socket, 'secureConnect');
    const request = Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(4, 0, 0, Buffer.of(0, 4, 0x7f, 0xff, 0xff, 0xff)),
      frame(8, 0, 0, Buffer.of(0x7f, 0, 0, 0)),
      frame(1, 5, 1, Buffer.of(0x82, 0x87, 0x84, 0x41, 1, 0x61)),
    ]);
    return { socket, request };
  }

  it('has it answered', async () => {
    await serve();
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 });
      stream.end('answer');
    });
    for (let i = 0; i < 10; i++) {
      const { socket, request } = await client();
      socket.end(request);
      expect((await buffer(socket)).toString('latin1')).toContain('answer');
    }
    expect(accepted.every(isOffloaded)).toBe(true);
  });
});

describeKernel('HTTP/1 beside it', () => {
  it('is served by the same server to the agent of ktls/https', async () => {
    await serve({ allowHTTP1: true });
    server.on('request', (request, response) => {
      response.end(`${request.httpVersion} ${String((request.socket as TLSSocket).encrypted)}`);
    });
    const agent = new https.Agent({ keepAlive: true });
    for (let round = 0; round < 2; round++) {
      const outgoing = https.get(origin, { agent, ...insecure });
      const [message] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect((await readAll(message)).toString()).toBe('1.1 true');
      expect(isOffloaded(outgoing.socket as unknown as AnySocket)).toBe(true);
    }
    expect(accepted.map(isOffloaded)).toEqual([true]);
    const session = await connected();
    expect((await readAll(session.request({ ':path': '/' }))).toString()).toBe('2.0 true');
    session.close();
    await closed(session);
    agent.destroy();
  });
});

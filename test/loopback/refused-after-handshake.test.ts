/**
 * The hand-over's own path on any kernel: the TLS layer seems to be attached, the handshake runs over the
 * record transport, and then the kernel refuses. node:tls carries on, and nothing may be lost.
 */
import { getEventListeners, once } from 'node:events';
import { createSecureServer } from 'node:http2';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { afterAll, describe, expect, it, vi } from 'vitest';
import * as ktls from '../../lib/index.js';
import { KtlsError, OffloadedSocket } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { testConnecting } from '../support/connecting.js';
import {
  type AnySocket,
  type Pair,
  type Side,
  connectPair,
  connectTo,
  exchange,
  listen,
  readAll,
  readExactly,
} from '../support/connection.js';
import { openSockets, onlyOpen } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { type Role, type Version, roles, versions } from '../support/scripted.js';
import { uncaughtDuring } from '../support/uncaught.js';
import { Witness } from '../support/witness.js';
import { tap } from '../support/wire.js';

/** What keeps the event loop alive for our sockets: their channels. */
const referenced = vi.hoisted(() => new Set<object>());

vi.mock('../../lib/kernel/binding.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../lib/kernel/binding.js')>();
  const binding = original.loadBinding();
  if (binding instanceof Error) throw binding;
  class PlainChannel extends binding.Channel {
    override attachUlp(): number {
      return 0;
    }

    override ref(): void {
      referenced.add(this);
      super.ref();
    }

    override unref(): void {
      referenced.delete(this);
      super.unref();
    }

    override close(): void {
      referenced.delete(this);
      super.close();
    }
  }
  return { ...original, loadBinding: () => ({ ...binding, Channel: PlainChannel }) };
});
vi.mock('../../lib/kernel/probe.js', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../lib/kernel/probe.js')>()),
  kernelRefusal: () => null,
  cipherRefusal: () => new KtlsError('ERR_KTLS_CIPHER', 'it is not in this kernel'),
}));

const scratch = new Scratch();
afterAll(() => scratch.remove());

const pairings: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];
const limits = (version: Version) => ({ minVersion: version, maxVersion: version });

/** Both ends may go on writing when the other has ended. */
const halfOpen = { allowHalfOpen: true } as tls.TlsOptions & tls.ConnectionOptions;

function open(version: Version, [server, client]: [Side, Side], options = {}): Promise<Pair> {
  const both = { ...limits(version), ...options };
  return connectPair({ server, client, serverOptions: both, clientOptions: both });
}

/** The socket of `role` is ours and the other node:tls's. */
const ours = (role: Role): [Side, Side] =>
  role === 'server' ? ['ktls', 'node'] : ['node', 'ktls'];

for (const version of versions) {
  describe(`a connection of ${version} that the kernel refuses`, () => {
    for (const sides of pairings) {
      const [server, client] = sides;
      const who = `${server} server, ${client} client`;

      it(`says why: ${who}`, async () => {
        await using pair = await open(version, sides);
        const sockets = [pair.server, pair.client].filter((each) => 'offload' in each);
        for (const socket of sockets) {
          expect(socket).toBeInstanceOf(OffloadedSocket);
          expect(socket.offload).toMatchObject({
            offloaded: false,
            tx: 'none',
            rx: 'none',
            version,
            cipher: socket.getCipher().name,
            reason: 'ERR_KTLS_CIPHER',
          });
        }
        expect(sockets).toHaveLength([server, client].filter((side) => side === 'ktls').length);
      });

      it(`moves much data both ways: ${who}`, async () => {
        await using pair = await open(version, sides);
        expect(await exchange(pair, 3_000_000)).toBe(true);
      });

      it(`does not care in what pieces the bytes come: ${who}`, async () => {
        const { listener, port } = await listen(server, limits(version));
        const wire = await tap(port, { dribble: true });
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        const socket = connectTo(wire.port, client, limits(version));
        socket.write('early');
        const [accepting] = await accepted;
        accepting.write('answer');
        expect((await readExactly(accepting, 5)).toString()).toBe('early');
        expect((await readExactly(socket, 6)).toString()).toBe('answer');
        socket.destroy();
        await wire.close();
        listener.close();
        await once(listener, 'close');
      });

      it(`holds a writer back while nobody reads, and loses nothing: ${who}`, async () => {
        await using pair = await open(version, sides);
        pair.client.pause();
        const size = 16 << 20;
        let flushed = false;
        expect(pair.server.write(Buffer.alloc(size, 'x'), () => (flushed = true))).toBe(false);
        await exchangeTurns();
        expect(flushed).toBe(false);
        expect(pair.client.readableLength).toBeLessThan(1 << 20);
        expect((await readExactly(pair.client, size)).every((byte) => byte === 0x78)).toBe(true);
      });

      it(`ends one direction and goes on in the other: ${who}`, async () => {
        await using pair = await open(version, sides, halfOpen);
        const [atServer, atClient] = [new Witness(pair.server), new Witness(pair.client)];
        pair.client.end('question');
        expect(await atServer.until('end')).toEqual(['question', 'end']);
        pair.server.end('answer');
        expect(await atClient.until('end')).toEqual(['answer', 'end']);
      });

      it(`delivers all to a reader that has not begun when the other end closes: ${who}`, async () => {
        await using pair = await open(version, sides);
        pair.client.pause();
        pair.client.end();
        pair.server.end(Buffer.alloc(10_000, 'x'));
        await once(pair.server, 'close');
        await exchangeTurns();
        expect((await readAll(pair.client)).length).toBe(10_000);
      });

      it(`still writes what is queued when the other end has ended: ${who}`, async () => {
        await using pair = await connectPair({
          server,
          client,
          serverOptions: limits(version),
          clientOptions: { ...limits(version), ...halfOpen },
        });
        const size = 8 << 20;
        for (let at = 0; at < size; at += 1 << 16) pair.server.write(Buffer.alloc(1 << 16, 'x'));
        pair.server.resume();
        pair.client.end();
        await once(pair.server, 'end');
        expect((await readAll(pair.client)).length).toBe(size);
      });

      it(`delivers what was written before the end: ${who}`, async () => {
        const before = openSockets();
        const pair = await open(version, sides);
        pair.server.end(Buffer.alloc(1 << 20, 'x'));
        pair.client.end();
        pair.server.resume();
        expect((await readAll(pair.client)).length).toBe(1 << 20);
        pair.listener.close();
        await once(pair.listener, 'close');
        await onlyOpen(before);
      });
    }

    it("tells 'pskCallback' and 'keylog' of the socket that it secures, addresses included", async () => {
      const psk = Buffer.alloc(32, 9);
      const ciphers = version === 'TLSv1.3' ? 'TLS_AES_128_GCM_SHA256' : 'PSK-AES128-GCM-SHA256';
      const both = { ...limits(version), ciphers };
      const told: { by: string; socket: unknown; address: string | undefined }[] = [];
      const tell = (by: string, socket: Socket): void => {
        told.push({ by, socket, address: socket.remoteAddress });
      };
      const { listener, port } = await listen('ktls', {
        ...both,
        pskCallback(socket, identity) {
          tell(identity, socket);
          tell('this', this as unknown as Socket);
          return psk;
        },
      });
      listener.on('keylog', (_line, socket) => tell('keylog', socket));
      const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
      const client = connectTo(port, 'node', {
        ...both,
        pskCallback: () => ({ psk, identity: 'somebody' }),
        checkServerIdentity: () => undefined,
      });
      const [server] = await accepted;
      expect(server).toBeInstanceOf(OffloadedSocket);
      expect([...new Set(told.map(({ by }) => by))]).toEqual(['somebody', 'this', 'keylog']);
      expect(told.filter(({ socket }) => socket !== server)).toEqual([]);
      expect(new Set(told.map(({ address }) => address))).toEqual(new Set(['127.0.0.1']));
      client.destroy();
      listener.close();
      await once(listener, 'close');
    });

    it('does without a pskCallback that is null', async () => {
      const options = { ...limits(version), pskCallback: null } as unknown as tls.TlsOptions;
      const { listener, port } = await listen('ktls', options);
      const accepted = once(listener, 'secureConnection');
      const client = connectTo(port, 'node', {
        ...limits(version),
        pskCallback: () => ({ psk: Buffer.alloc(32, 9), identity: 'somebody' }),
      });
      await Promise.all([accepted, once(client, 'secureConnect')]);
      client.destroy();
      listener.close();
      await once(listener, 'close');
    });

    for (const role of roles) {
      it(`passes on what was written before it was secured, by a ${role}`, async () => {
        const [server, client] = ours(role);
        const { listener, port } = await listen(server, limits(version));
        listener.on('secureConnection', (socket: tls.TLSSocket) => {
          socket.write('from the server');
        });
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        const socket = connectTo(port, client, limits(version));
        socket.write('from the ');
        socket.write('client');
        const [accepting] = await accepted;
        expect((await readExactly(accepting, 15)).toString()).toBe('from the client');
        expect((await readExactly(socket, 15)).toString()).toBe('from the server');
        socket.destroy();
        listener.close();
        await once(listener, 'close');
      });

      it(`writes nothing and then something at once, as a ${role}`, async () => {
        const [server, client] = ours(role);
        const { listener, port } = await listen(server, limits(version));
        const begin = (socket: AnySocket): void => {
          socket.write('');
          socket.write('a');
          socket.write('');
          socket.write('b');
        };
        listener.on('secureConnection', begin);
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        const socket = connectTo(port, client, limits(version));
        socket.on('secureConnect', () => begin(socket));
        const [accepting] = await accepted;
        const both = [await readExactly(accepting, 2), await readExactly(socket, 2)];
        expect(both.map(String)).toEqual(['ab', 'ab']);
        socket.destroy();
        listener.close();
        await once(listener, 'close');
      });

      it(`is not idle while a ${role} writes`, async () => {
        await using pair = await open(version, ours(role));
        await using idle = await open(version, ours(role));
        const [subject, peer] = facing(role, pair);
        const received = readAll(peer);
        const timedOut = firstToBeIdle(subject, facing(role, idle)[0]);
        let sent = '';
        while (timedOut.first === null) {
          sent += 'x';
          await new Promise((written) => subject.write('x', written));
          await sleep(10);
        }
        expect(timedOut.first).not.toBe(subject);
        subject.end();
        expect((await received).toString()).toBe(sent);
      });

      it(`keeps the process alive until an unreferenced ${role} has sent all`, async () => {
        referenced.clear();
        await using pair = await open(version, ours(role));
        const [subject, peer] = facing(role, pair);
        subject.resume();
        expect(referenced.size).toBe(1);
        subject.unref();
        expect(referenced.size).toBe(0);
        const size = 16 << 20;
        const content = Buffer.alloc(size);
        const file = scratch.write('file', content);
        for (const send of [
          () => void subject.write(content),
          () => void ktls.sendFile(subject, file),
        ]) {
          peer.pause();
          send();
          await exchangeTurns();
          expect(referenced.size).toBe(1);
          await readExactly(peer, size);
          await expect.poll(() => referenced.size).toBe(0);
        }
      });

      it(`keeps what has come for a ${role} that reads late, and its own side open`, async () => {
        const before = openSockets();
        for (const endsFirst of [false, true]) {
          const pair = await open(version, ours(role), endsFirst ? halfOpen : {});
          const [subject, peer] = facing(role, pair);
          if (endsFirst) {
            subject.end('answer');
            expect(await new Witness(peer).until('end')).toEqual(['answer', 'end']);
          }
          peer.end(Buffer.alloc(1000, 'x'));
          await once(peer, 'finish');
          await exchangeTurns();
          if (!endsFirst) subject.write('answer');
          expect((await readAll(subject)).length).toBe(1000);
          if (!endsFirst) expect((await readAll(peer)).toString()).toBe('answer');
          pair.listener.close();
          await once(pair.listener, 'close');
        }
        await onlyOpen(before);
      });

      it(`knows a clean end from a cut as a ${role}`, async () => {
        await using clean = await open(version, ours(role));
        const [ended, peer] = facing(role, clean);
        // A server of node:tls that ends at once sends no close_notify: it still has tickets to send.
        expect(await exchange(clean, 10)).toBe(true);
        expect(ended).toMatchObject({ closeNotifyReceived: false });
        // FIN comes right behind close_notify, before anybody reads.
        peer.end('all');
        await once(peer, 'finish');
        await exchangeTurns();
        expect((await readAll(ended)).toString()).toBe('all');
        expect(ended).toMatchObject({ closeNotifyReceived: true });

        // A FIN alone, and one within a record.
        for (const begun of [[], [23, 3, 3, 0, 40, 1]]) {
          const { subject, other, wire, close } = await openTapped(role, version);
          const witness = new Witness(subject);
          other.write('a part');
          await witness.received(6);
          wire.end(Buffer.from(begun));
          expect(await witness.until('end')).toEqual(['a part', 'end']);
          expect(subject).toMatchObject({ closeNotifyReceived: false });
          await close();
        }
      });

      it(`reports a reset to a ${role}`, async () => {
        const { subject, wire, close } = await openTapped(role, version);
        const witness = new Witness(subject);
        wire.resetAndDestroy();
        expect(await witness.until('close')).toEqual(['error', 'close']);
        expect(witness.error?.code).toBe('ECONNRESET');
        await close();
      });

      it(`is over for a ${role} that is destroyed with an error`, async () => {
        const before = openSockets();
        const pair = await open(version, ours(role));
        const [subject, other] =
          role === 'server' ? [pair.server, pair.client] : [pair.client, pair.server];
        const witness = new Witness(subject);
        other.on('error', () => undefined);
        other.resume();
        const closed = once(other, 'close');
        subject.destroy(new Error('enough'));
        expect(await witness.until('close')).toEqual(['error', 'close']);
        expect(witness.error?.message).toBe('enough');
        await closed;
        pair.listener.close();
        await once(pair.listener, 'close');
        await onlyOpen(before);
      });

      it(`fails with the reason, and without a byte, for a ${role} that requires offload`, async () => {
        const [server, client] = ours(role);
        const options = { ...limits(version), mode: 'require' } as const;
        const { listener, port } = await listen(server, options);
        const failed = role === 'server' ? once(listener, 'tlsClientError') : undefined;
        let received = 0;
        listener.on('secureConnection', (socket: tls.TLSSocket) => {
          socket.on('error', () => undefined);
          socket.on('data', () => received++);
        });
        const socket = connectTo(port, client, options);
        const witness = new Witness(socket);
        socket.write('secret');
        await witness.until('close');
        const error = failed === undefined ? witness.error : ((await failed) as [Error])[0];
        expect(error).toMatchObject({ name: 'KtlsError', code: 'ERR_KTLS_CIPHER' });
        listener.close();
        await once(listener, 'close');
        expect(received).toBe(0);
      });
    }
  });
}

it('a connection that was aborted before it began is not begun', async () => {
  const accepted: Socket[] = [];
  const listener = createServer((socket) => accepted.push(socket));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const aborted = { signal: AbortSignal.abort() } as tls.ConnectionOptions;
  const socket = connectTo(port, 'ktls', aborted);
  await expect(once(socket, 'secureConnect')).rejects.toMatchObject({ name: 'AbortError' });
  // One that comes after it is accepted after it.
  const second = connect(port, '127.0.0.1');
  await once(second, 'connect');
  await expect.poll(() => accepted.map(({ remotePort }) => remotePort)).toContain(second.localPort);
  expect([accepted.length, socket.destroyed]).toEqual([1, true]);
  second.destroy();
  listener.close();
  await once(listener, 'close');
});

for (const how of ['destroySoon', 'resetAndDestroy'] as const) {
  for (const wait of [0, 100]) {
    it(`${how} does not wait for a peer that says nothing (after ${wait} ms)`, async () => {
      const accepted: Socket[] = [];
      const silent = createServer((socket) => accepted.push(socket.on('error', () => undefined)));
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const socket = connectTo((silent.address() as AddressInfo).port, 'ktls');
      expect(socket).toBeInstanceOf(OffloadedSocket);
      const closed = once(socket, 'close');
      if (wait > 0) await sleep(wait);
      socket[how]();
      await closed;
      for (const each of accepted) each.destroy();
      silent.close();
    });
  }
}

it('a socket option that is null is none', async () => {
  const { listener, port } = await listen('node');
  const socket = connectTo(port, 'ktls', { socket: null } as unknown as tls.ConnectionOptions);
  expect(socket).toBeInstanceOf(OffloadedSocket);
  await once(socket, 'secureConnect');
  socket.destroy();
  listener.close();
  await once(listener, 'close');
});

it('a connect that throws leaves nothing with its signal', () => {
  const { signal } = new AbortController();
  const wrong = { signal, cert: 'none' } as tls.ConnectionOptions;
  expect(() => connectTo(1, 'ktls', wrong)).toThrow();
  expect(() => connectTo(1, 'node', wrong)).toThrow();
  return expect.poll(() => getEventListeners(signal, 'abort')).toEqual([]);
});

for (const version of versions) {
  it(`both ends know why a certificate was not accepted (${version})`, async () => {
    const reason = 'DEPTH_ZERO_SELF_SIGNED_CERT';
    const mutual = { ...limits(version), requestCert: true, rejectUnauthorized: true };
    const { listener, port } = await listen('ktls', mutual);
    const refused = once(listener, 'tlsClientError') as Promise<[Error, tls.TLSSocket]>;
    const stranger = connectTo(port, 'node', { ...limits(version), ...ecdsaCertificate() });
    stranger.on('error', () => undefined);
    const [, rejected] = await refused;
    expect(rejected.authorizationError).toBe(reason);
    stranger.destroy();
    listener.close();
    await once(listener, 'close');

    const server = await listen('node', limits(version));
    const options = { rejectUnauthorized: true, servername: 'name.test' };
    const client = connectTo(server.port, 'ktls', { ...limits(version), ...options });
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe(reason);
    expect([client.authorizationError, client.servername]).toEqual([reason, 'name.test']);
    server.listener.close();
    await once(server.listener, 'close');
  });
}

it('a connection whose TCP socket is destroyed as it connects ends with that', async () => {
  const { listener, port } = await listen('node');
  const raw = connect(port, '127.0.0.1');
  raw.once('connect', () => raw.destroy());
  const socket = connectTo(port, 'ktls', { socket: raw });
  expect(socket).toBeInstanceOf(OffloadedSocket);
  await once(socket, 'close');
  expect(raw.destroyed).toBe(true);
  listener.close();
  await once(listener, 'close');
});

it('an http2 server may choose a protocol of its own, and end the connection at once', async () => {
  const server = createSecureServer({ ...ecdsaCertificate(), ALPNCallback: () => 'own' });
  ktls.offload(server);
  server.on('secureConnection', (socket: tls.TLSSocket) => socket.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connectTo(port, 'node', { ALPNProtocols: ['own'] });
  await once(client, 'secureConnect');
  expect(client.alpnProtocol).toBe('own');
  client.end();
  client.resume();
  await once(client, 'close');
  server.close();
  await once(server, 'close');
});

it('a fragment length that is no integer is a wrong argument, as for node:tls', async () => {
  await using pair = await connectPair();
  const { server } = pair;
  for (const wrong of [undefined, null, '', {}, false, Symbol('none')]) {
    expect(() => server.setMaxSendFragment(wrong as number)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    );
  }
  for (const wrong of [NaN, Infinity, 1000.5, 2 ** 31]) {
    expect(() => server.setMaxSendFragment(wrong)).toThrow(
      expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
    );
  }
});

/** The socket of `role`, and its peer. */
const facing = (role: Role, { server, client }: Pair): [subject: AnySocket, peer: AnySocket] =>
  role === 'server' ? [server, client] : [client, server];

/** Our socket, what it is connected to by way of a proxy, and the proxy's socket on its side. */
async function openTapped(role: Role, version: Version) {
  const [server, client] = ours(role);
  const { listener, port } = await listen(server, limits(version));
  const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
  const tapped = await tap(port);
  const socket = connectTo(tapped.port, client, limits(version));
  const [[accepting]] = await Promise.all([accepted, once(socket, 'secureConnect')]);
  const [subject, other] = role === 'server' ? [accepting, socket] : [socket, accepting];
  const [near, far] = tapped.sockets as [Socket, Socket];
  other.on('error', () => undefined);
  const close = async (): Promise<void> => {
    other.destroy();
    await tapped.close();
    listener.close();
    await once(listener, 'close');
  };
  return { subject, other, wire: role === 'server' ? far : near, close };
}

/** Which of several sockets is the first that nothing moves on for a while. */
function firstToBeIdle(...sockets: AnySocket[]): { readonly first: AnySocket | null } {
  const found: { first: AnySocket | null } = { first: null };
  for (const socket of sockets) socket.setTimeout(300, () => (found.first ??= socket));
  return found;
}

/** Long enough for everything that can move on loopback to have moved. */
async function exchangeTurns(): Promise<void> {
  for (let turns = 0; turns < 200; turns++) await new Promise(setImmediate);
}

describe.each(versions)(
  'a listener that throws on a connection of %s that the kernel refuses',
  (version) => {
    const limits = { minVersion: version, maxVersion: version };

    // The exception must not pass through OpenSSL's stack.
    it.each(['secureConnection', 'secureConnect'])('of "%s" harms nobody else', async (event) => {
      const { listener, port } = await listen('ktls', limits);
      const thrower = (): never => {
        throw new Error('of the application');
      };
      if (event === 'secureConnection') listener.prependListener(event, thrower);
      let pair: AnySocket | undefined;
      listener.on('secureConnection', (socket: AnySocket) => (pair = socket));
      const uncaught = await uncaughtDuring(async () => {
        const client = connectTo(port, 'ktls', limits);
        if (event === 'secureConnect') client.once(event, thrower);
        client.write('question');
        await expect.poll(() => pair ?? client.authorizationError).toBeDefined();
        await sleep(50);
        if (pair !== undefined) {
          const asked = once(pair, 'data');
          pair.resume();
          expect(String((await asked)[0])).toBe('question');
        }
        client.destroy();
        pair?.destroy();
        await sleep(50);
      });
      expect(uncaught).toMatchObject([{ message: 'of the application' }]);
      listener.close();
    });
  },
);

describe('a client that the kernel is going to refuse', () => {
  testConnecting((socket) => {
    expect(socket).toMatchObject({ offload: { reason: 'ERR_KTLS_CIPHER' } });
  });
});

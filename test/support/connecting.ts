/**
 * What programs see of a client between its TCP connection and the end of its handshake, side by side with
 * node:tls. Whoever tests it says which of our clients: under kernel TLS, or refused after the handshake.
 */
import { once } from 'node:events';
import * as http2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import * as tls from 'node:tls';
import { expect, it } from 'vitest';
import * as https from '../../lib/https.js';
import { ecdsaCertificate } from './certificates.js';
import { expectNothingInClear, newMarker } from './clear.js';
import {
  type AnySocket,
  type Side,
  connectTo,
  listen,
  readAll,
  readExactly,
} from './connection.js';
import { type Wire, tap } from './wire.js';

interface Peer extends AsyncDisposable {
  readonly port: number;
  /** Another connection has got its greeting. */
  greeted(): Promise<unknown>;
}

/** Accepts connections, and says no more than `greeting`. */
async function mutePeer(greeting = ''): Promise<Peer> {
  const accepted = new Set<Socket>();
  const server: Server = createServer((socket) => {
    accepted.add(socket);
    socket.on('error', () => undefined);
    if (greeting !== '') socket.write(greeting, () => server.emit('greeted'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    greeted: () => once(server, 'greeted'),
    async [Symbol.asyncDispose]() {
      for (const socket of accepted) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const events = ['connect', 'ready', 'secure', 'secureConnect', 'timeout', 'error', 'close'];

function stateOf(socket: AnySocket): object {
  const { connecting, pending, readyState, localAddress, remoteAddress, remoteFamily } = socket;
  const { secureConnecting } = socket as unknown as { secureConnecting: boolean };
  const addresses = { localAddress, remoteAddress, remoteFamily, ...socket.address() };
  return { connecting, secureConnecting, pending, readyState, ...addresses, port: null };
}

/** The events of a socket, each with what the socket says of itself then. */
function record(socket: AnySocket): unknown[] {
  // Whoever asks for addresses too early is told by node:tls that there are none, later on as well.
  const { connecting, pending, readyState } = socket;
  const seen: unknown[] = [{ connecting, pending, readyState }];
  for (const event of events) {
    socket.on(event, (argument: unknown) => {
      const { code } = (argument ?? {}) as NodeJS.ErrnoException;
      seen.push(event === 'error' || event === 'close' ? [event, code] : [event, stateOf(socket)]);
    });
  }
  return seen;
}

const both = async (run: (side: Side) => Promise<unknown>): Promise<void> => {
  const asNode = await run('node');
  expect(await run('ktls')).toEqual(asNode);
};

/** A client whose events up to 'secureConnect' are recorded, and its end. */
async function securing(socket: AnySocket): Promise<unknown[]> {
  const seen = record(socket);
  await once(socket, 'secureConnect');
  const upToHere = [...seen];
  socket.destroy();
  if (!socket.closed) await once(socket, 'close');
  return upToHere;
}

interface Listening extends AsyncDisposable {
  readonly port: number;
  readonly wire: Wire;
}

/** A server of node:tls that answers each message with itself, and a proxy in front that keeps it all. */
async function echo(options: tls.TlsOptions = {}): Promise<Listening> {
  const { listener, port } = await listen('node', options);
  listener.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  const wire = await tap(port);
  return {
    port: wire.port,
    wire,
    async [Symbol.asyncDispose]() {
      await wire.close();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** @param check - What is to be true of our client. */
export function testConnecting(check: (socket: AnySocket) => void): void {
  it('tells of the TCP connection when it stands, as node:tls does', async () => {
    await using server = await echo();
    await both((side) => securing(connectTo(server.port, side)));
    const named = { host: 'localhost', autoSelectFamily: true };
    await both((side) => securing(connectTo(server.port, side, named)));
  });

  it('tells of one that was made before what node:tls tells', async () => {
    await using server = await echo();
    await both(async (side) => {
      const raw = connect(server.port, '127.0.0.1');
      await once(raw, 'connect');
      return securing(connectTo(server.port, side, { socket: raw }));
    });
    await both((side) => {
      const raw = connect(server.port, '127.0.0.1');
      return securing(connectTo(server.port, side, { socket: raw }));
    });
  });

  it('is connected, and no more than that, while a peer says nothing', async () => {
    await using peer = await mutePeer();
    await both(async (side) => {
      const socket = connectTo(peer.port, side);
      const seen = record(socket);
      await once(socket, 'ready');
      socket.setTimeout(50);
      await once(socket, 'timeout');
      socket.destroy();
      await once(socket, 'close');
      return seen;
    });
  });

  it('is connected to a peer that does not speak TLS, and then fails', async () => {
    await using peer = await mutePeer('220 who is there?\r\n');
    await both(async (side) => {
      const raw = connect(peer.port, '127.0.0.1').pause();
      await Promise.all([once(raw, 'connect'), peer.greeted()]);
      const sockets = [connectTo(peer.port, side), connectTo(peer.port, side, { socket: raw })];
      const seen = sockets.map(record);
      await Promise.all(sockets.map((socket) => new Promise((end) => socket.once('close', end))));
      return seen;
    });
  });

  it("may be destroyed at 'connect'", async () => {
    await using server = await echo();
    await both(async (side) => {
      const socket = connectTo(server.port, side);
      const seen = record(socket);
      socket.once('connect', () => socket.destroy());
      await new Promise((resolve) => socket.once('close', resolve));
      return seen;
    });
  });

  it('lets the timeout of a request fire while the peer says nothing', async () => {
    await using peer = await mutePeer();
    for (const { request } of [nodeHttps, https]) {
      const agent = request === https.request ? new https.Agent() : new nodeHttps.Agent();
      const asking = request({ port: peer.port, host: '127.0.0.1', agent });
      asking.setTimeout(100, () => asking.destroy(new Error('long enough')));
      asking.end();
      await expect(once(asking, 'response')).rejects.toThrow('long enough');
      agent.destroy();
    }
  });

  it("sends nothing in clear of what is written at 'connect' and behind it", async () => {
    await using server = await echo();
    const marker = newMarker();
    for (const early of [false, true]) {
      const socket = early
        ? connectTo(server.port, 'ktls', { socket: connect(server.port, '127.0.0.1') })
        : connectTo(server.port, 'ktls');
      const order: string[] = [];
      socket.once('connect', () => {
        socket.write(marker, () => order.push('first'));
        setImmediate(() => socket.write(marker, () => order.push('second')));
        process.nextTick(() => {
          socket.cork();
          socket.write(marker);
          socket.write(marker);
          socket.uncork();
        });
      });
      const back = await readExactly(socket, 4 * marker.length);
      expect(back.toString()).toBe(marker.repeat(4));
      expect(order).toEqual(['first', 'second']);
      check(socket);
      socket.destroy();
      await once(socket, 'close');
    }
    expectNothingInClear(server.wire, marker, true);
  });

  it("may be ended at 'connect', with all that was written before", async () => {
    await using server = await echo();
    const socket = connectTo(server.port, 'ktls');
    const marker = newMarker();
    socket.once('connect', () => socket.end(marker));
    expect((await readAll(socket)).toString()).toBe(marker);
    expectNothingInClear(server.wire, marker, true);
  });

  for (const protocol of ['h2', 'own']) {
    for (const when of ['at once', 'connected', 'taken over'] as const) {
      it(`keeps its handle from an http2 session until it is secured (${protocol}, ${when})`, async () => {
        const server = tls.createServer({ ...ecdsaCertificate(), ALPNProtocols: [protocol] });
        server.on('secureConnection', (socket) => {
          http2.performServerHandshake(socket).on('stream', (stream: http2.ServerHttp2Stream) => {
            stream.respond();
            stream.pipe(stream);
          });
        });
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const wire = await tap((server.address() as AddressInfo).port);
        const options: tls.ConnectionOptions = { ALPNProtocols: [protocol] };
        if (when === 'taken over') {
          options.socket = connect(wire.port, '127.0.0.1');
          await once(options.socket, 'connect');
        }
        const socket = connectTo(wire.port, 'ktls', options);
        const seen: string[] = [];
        for (const event of ['connect', 'ready', 'secureConnect']) {
          socket.on(event, () => seen.push(event));
        }
        if (when === 'connected') await once(socket, 'connect');
        const session = http2.connect('https://x.test', { createConnection: () => socket });
        await once(session, 'connect');
        expect(session.alpnProtocol).toBe(protocol);
        const marker = newMarker();
        const stream = session.request({ ':method': 'POST', ':path': '/' });
        stream.end(marker);
        expect((await readAll(stream)).toString()).toBe(marker);
        const told = when === 'taken over' ? [] : ['connect', 'ready'];
        expect(seen).toEqual([...told, 'secureConnect']);
        check(socket);
        session.close();
        await once(session, 'close');
        expectNothingInClear(wire, marker, true);
        await wire.close();
        server.close();
      });
    }
  }

  it("refuses node:tls's own at 'connect', and in the handshake, before it sends a byte", async () => {
    await using server = await echo();
    const refused = { code: 'ERR_KTLS_NESTED' };
    for (const wait of [false, true]) {
      const outer = connectTo(server.port, 'ktls');
      const failed = once(outer, 'secureConnect');
      if (wait) await once(outer, 'connect');
      const nest = () => tls.connect({ socket: outer, servername: 'inner.test' });
      if (wait) expect(nest).toThrow(expect.objectContaining(refused));
      else await expect(once(nest(), 'secureConnect')).rejects.toMatchObject(refused);
      await expect(failed).rejects.toMatchObject(refused);
      if (!outer.closed) await once(outer, 'close');
    }
    expect(Buffer.concat(server.wire.toServer).includes('inner.test')).toBe(false);
  });
}

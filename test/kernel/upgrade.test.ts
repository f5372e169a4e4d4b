/** `connect({ socket })`: TLS on a connection that has been used in clear, as STARTTLS has it. */
import { randomBytes } from 'node:crypto';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, connect as tcpConnect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { afterAll, expect, it, vi } from 'vitest';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { isOffloaded, listen, readAll, readExactly } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { REQUEST, startTls } from '../support/starttls.js';

const insecure = { rejectUnauthorized: false };
const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

async function secured(socket: ktls.ClientSocket): Promise<ktls.ClientSocket> {
  await once(socket, 'secureConnect');
  return socket;
}

async function echoes(socket: ktls.ClientSocket, bytes = 200_000): Promise<boolean> {
  const data = randomBytes(bytes);
  socket.write(data);
  return (await readExactly(socket, bytes)).equals(data);
}

async function echoServer(): Promise<{ port: number } & AsyncDisposable> {
  const { listener, port } = await listen('ktls');
  const sockets = new Set<Duplex>();
  listener.on('secureConnection', (socket) => {
    sockets.add(socket);
    // A ticket may still be on its way to a client that has gone.
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

describeKernel('an upgraded socket', () => {
  it('is offloaded on both sides, whatever listeners are left on the one in clear', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    const inClear = vi.fn();
    raw.on('data', inClear);
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    expect(await echoes(socket)).toBe(true);
    expect([socket, ...server.secured].map(isOffloaded)).toEqual([true, true]);
    expect(inClear).not.toHaveBeenCalled();
    expect(socket.remotePort).toBe(server.port);
    expect(raw.remotePort).toBe(server.port);
    socket.destroy();
    await once(raw, 'close');
  });

  it('ends with a close_notify and a FIN, and counts no byte in clear as its own', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    expect(await echoes(socket, 1000)).toBe(true);
    const [accepted] = server.secured as [ktls.OffloadedSocket];
    expect([socket.bytesWritten, accepted.bytesWritten]).toEqual([1000, 1000]);
    socket.end();
    await Promise.all([once(socket, 'close'), once(raw, 'close'), once(accepted, 'close')]);
    expect((socket as ktls.OffloadedSocket).closeNotifyReceived).toBe(true);
    expect(accepted.closeNotifyReceived).toBe(true);
    expect([socket.bytesWritten, accepted.bytesWritten]).toEqual([1000, 1000]);
  });

  it('is offloaded from within the listener that got the last bytes in clear', async () => {
    await using server = await startTls();
    const raw = tcpConnect(server.port, '127.0.0.1');
    raw.write(REQUEST);
    const socket = await new Promise<ktls.ClientSocket>((resolve) => {
      raw.once('data', () => resolve(ktls.connect({ socket: raw, ...insecure })));
    });
    await secured(socket);
    expect(await echoes(socket)).toBe(true);
    expect(isOffloaded(socket)).toBe(true);
    socket.destroy();
  });

  it('may still be connecting', async () => {
    await using server = await echoServer();
    const raw = tcpConnect(server.port, '127.0.0.1');
    const socket = ktls.connect({ socket: raw, ...insecure });
    const early = randomBytes(50_000);
    socket.write(early);
    expect((await readExactly(socket, early.length)).equals(early)).toBe(true);
    expect(await echoes(socket)).toBe(true);
    expect(isOffloaded(socket)).toBe(true);
    socket.destroy();
  });

  it('verifies the host that was looked up for the connection in clear', async () => {
    await using server = await echoServer();
    const ca = ecdsaCertificate().cert;
    const connectTo = (host: string): ktls.ClientSocket => {
      const raw = tcpConnect({ port: server.port, host, lookup: toLoopback });
      return ktls.connect({ socket: raw, ca });
    };
    const right = await secured(connectTo('localhost'));
    expect(right.authorized).toBe(true);
    right.destroy();
    await expect(secured(connectTo('elsewhere.example'))).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('closes with the one beneath it, and the other way round', async () => {
    await using server = await startTls();
    for (const which of ['raw', 'secure'] as const) {
      const raw = await server.upgradable();
      const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
      const closed = Promise.all([once(raw, 'close'), once(socket, 'close')]);
      (which === 'raw' ? raw : socket).destroy();
      await closed;
    }
  });

  it('reports the error with which the one beneath it is destroyed', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    const reason = new Error('enough');
    const reported = once(socket, 'error');
    raw.destroy(reason);
    expect(await reported).toEqual([reason]);
  });

  it('ends with a close_notify even if the one beneath it is ended', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    expect(await echoes(socket)).toBe(true);
    const ended = once(server.secured[0]!, 'end');
    raw.end();
    await ended;
    expect((server.secured[0] as ktls.OffloadedSocket).closeNotifyReceived).toBe(true);
    socket.destroy();
  });

  it('reports a connection that does not come about', async () => {
    const unused = createServer().listen(0, '127.0.0.1');
    await once(unused, 'listening');
    const { port } = unused.address() as AddressInfo;
    unused.close();
    await once(unused, 'close');
    const raw = tcpConnect(port, '127.0.0.1');
    const socket = ktls.connect({ socket: raw, ...insecure });
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('gives its idle timer to the one beneath it', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    raw.setTimeout(200);
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    const timers = [once(raw, 'timeout')];
    for (let round = 0; round < 5; round++) expect(await echoes(socket, 1000)).toBe(true);
    await Promise.all(timers);
    socket.destroy();
  });

  it('is unharmed by options that node:tls rejects', async () => {
    await using server = await startTls();
    const raw = await server.upgradable();
    expect(() => ktls.connect({ socket: raw, cert: 'no certificate' })).toThrow();
    const socket = await secured(ktls.connect({ socket: raw, ...insecure }));
    expect(await echoes(socket)).toBe(true);
    expect(isOffloaded(socket)).toBe(true);
    socket.destroy();
  });
});

describeKernel('TLS within TLS', () => {
  it('runs over an offloaded connection, the inner one in node:tls', async () => {
    await using inner = await echoServer();
    // The outer server passes on what it gets: a proxy that is spoken to by TLS.
    const { listener, port } = await listen('ktls');
    listener.on('secureConnection', (socket) => {
      const onward = tcpConnect(inner.port, '127.0.0.1');
      socket.pipe(onward).pipe(socket);
      for (const end of [socket, onward]) end.on('error', () => undefined);
      // A pipe without a destination reads no further, and would not see its end.
      socket.on('close', () => onward.destroy());
    });
    const outer = ktls.connect({ port, host: '127.0.0.1', ...insecure });
    for (const wait of [true, false]) {
      if (wait) await secured(outer);
      const connection = wait ? outer : ktls.connect({ port, host: '127.0.0.1', ...insecure });
      const socket = ktls.connect({ socket: connection, ...insecure });
      await secured(socket);
      expect(await echoes(socket)).toBe(true);
      expect(isOffloaded(connection)).toBe(true);
      expect(socket.offload.reason).toBe('ERR_KTLS_NOT_TCP');
      const closed = once(connection, 'close');
      socket.destroy();
      await closed;
    }
    listener.close();
  });

  it("is not node:tls's own over an offloaded connection, which would be read past us", async () => {
    await using server = await echoServer();
    const options = { port: server.port, host: '127.0.0.1', ...insecure };
    const outer = ktls.connect(options);
    const inner = tls.connect({ socket: outer, ...insecure });
    await expect(once(inner, 'secureConnect')).rejects.toMatchObject({ code: 'ERR_KTLS_NESTED' });
    if (!outer.closed) await once(outer, 'close');
    expect(outer.bytesWritten).toBe(0);

    const announced = ktls.connect(options);
    announced.on('secureConnect', () => {
      tls.connect({ socket: announced, ...insecure }).on('error', () => undefined);
    });
    await expect(once(announced, 'close')).rejects.toMatchObject({ code: 'ERR_KTLS_NESTED' });

    const later = await secured(ktls.connect(options));
    expect(() => tls.connect({ socket: later, ...insecure })).toThrow('must be a StreamBase');
    expect(await echoes(later)).toBe(true);
    later.destroy();
  });

  it('is served over an offloaded connection', async () => {
    const innerServer = ktls.createServer(ecdsaCertificate());
    innerServer.on('secureConnection', (socket) => socket.pipe(socket));
    const { listener, port } = await listen('ktls');
    listener.on('secureConnection', (socket) => innerServer.emit('connection', socket));
    const outer = tls.connect({ port, host: '127.0.0.1', ...insecure });
    const socket = tls.connect({ socket: outer, ...insecure });
    socket.end('both ways');
    expect((await readAll(socket)).toString()).toBe('both ways');
    listener.close();
  });
});

function toLoopback(
  _host: string,
  options: { all?: boolean | undefined },
  callback: (error: null, address: string | LookupAddress[], family?: number) => void,
): void {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
}

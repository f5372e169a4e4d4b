/** What happens around the moment at which a connection is handed over, and must not depend on it. */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import * as ktls from '../../lib/index.js';
import { OffloadedSocket } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import {
  type AnySocket,
  connectPair,
  connectTo,
  isOffloaded,
  listen,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { uncaughtDuring } from '../support/uncaught.js';
import { Witness } from '../support/witness.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

/** A server of node:tls that speaks first. */
async function greeting(): Promise<AsyncDisposable & { port: number }> {
  const { listener, port } = await listen('node');
  listener.on('secureConnection', (socket: tls.TLSSocket) => {
    socket.on('error', () => undefined).resume();
    socket.write('hello');
  });
  const close = async (): Promise<void> => {
    listener.close();
    await once(listener, 'close');
  };
  return { port, [Symbol.asyncDispose]: close };
}

describeKernel('a connection that has just been secured', () => {
  it('reads nothing before who awaits "secureConnect" goes on (20 times)', async () => {
    await using server = await greeting();
    for (let i = 0; i < 20; i++) {
      const socket = connectTo(server.port, 'ktls');
      await once(socket, 'secureConnect');
      const session = once(socket, 'session');
      const [data] = (await once(socket, 'data')) as [Buffer];
      expect(data.toString()).toBe('hello');
      await session;
      expect(isOffloaded(socket)).toBe(true);
      socket.destroy();
      await once(socket, 'close');
    }
  });

  it('goes on when the callback of a write that waited for it throws', async () => {
    await using server = await greeting();
    const socket = connectTo(server.port, 'ktls');
    const uncaught = await uncaughtDuring(async () => {
      socket.write('early', () => {
        throw new Error('of the application');
      });
      await Promise.all([once(socket, 'secureConnect'), once(socket, 'data')]);
    });
    expect(uncaught).toMatchObject([{ message: 'of the application' }]);
    expect(isOffloaded(socket)).toBe(true);
    socket.destroy();
    await once(socket, 'close');
  });

  it('connects no second time, which would be in clear', async () => {
    const pair = await connectPair({ server: 'node' });
    const { client } = pair;
    const refusal = expect.objectContaining({ code: 'ERR_KTLS_RECONNECT' }) as Error;
    expect(() => client.connect(1, '127.0.0.1')).toThrow(refusal);
    await pair.close();
    expect(() => client.connect(1, '127.0.0.1')).toThrow(refusal);
  });

  it('closes when it is reset while its end is on its way', async () => {
    for (const wait of [0, 1, 5]) {
      await using pair = await connectPair({ client: 'node' });
      pair.client.on('error', () => undefined);
      const witness = new Witness(pair.server);
      pair.client.pause();
      pair.server.write(Buffer.alloc(5_000_000));
      pair.server.end('bye');
      if (wait > 0) await sleep(wait);
      pair.server.resetAndDestroy();
      expect((await witness.until('close')).at(-1)).toBe('close');
    }
    await using pair = await connectPair({ client: 'node' });
    pair.client.on('error', () => undefined).resume();
    const witness = new Witness(pair.server);
    pair.server.end('bye');
    pair.server.resetAndDestroy();
    expect(await witness.until('close')).toEqual(['close']);
  });

  it('closes the socket that it was given when it is aborted before it begins', async () => {
    const server = createServer((socket) => void socket.resume());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const raw = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(raw, 'connect');
    const options = { socket: raw, signal: AbortSignal.abort() };
    const socket = ktls.connect(options as ktls.ConnectOptions);
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error).toMatchObject({ code: 'ABORT_ERR' });
    expect(raw.destroyed).toBe(true);
    server.close();
    await once(server, 'close');
  });
});

describeKernel('a server whose "newSession" is not answered', () => {
  /** @returns why the connection was given up; when all is closed */
  async function unanswered(handshakeTimeout: number, goes: boolean): Promise<Error> {
    const { listener, port } = await listen('ktls', { handshakeTimeout, minVersion: 'TLSv1.3' });
    listener.on('newSession', () => undefined);
    const failed = once(listener, 'tlsClientError') as Promise<[Error, AnySocket]>;
    const raw = connect(port, '127.0.0.1');
    const client = tls.connect({ socket: raw, rejectUnauthorized: false });
    for (const each of [raw, client]) each.on('error', () => undefined);
    await once(client, 'secureConnect');
    if (goes) raw.resetAndDestroy();
    const [error, socket] = await failed;
    client.destroy();
    listener.close();
    await once(listener, 'close');
    expect(socket.destroyed).toBe(true);
    return error;
  }

  it('gives the connection up when the handshake may take no longer', async () => {
    expect(await unanswered(300, false)).toMatchObject({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
  });

  it('gives it up when the client is gone', async () => {
    expect(await unanswered(100_000, true)).toMatchObject({ code: 'ECONNRESET' });
  });
});

describeKernel('a peer that does not wait for an answer', () => {
  it('cannot fill the memory while the application looks for a certificate', async () => {
    let looked: (() => void) | undefined;
    const { listener, port } = await listen('ktls', {
      ...ecdsaCertificate(),
      SNICallback: (_name, done) => {
        looked = () => done(null, tls.createSecureContext(ecdsaCertificate()));
      },
    });
    const failed = once(listener, 'tlsClientError');
    // A ClientHello of node:tls, and records without end behind it.
    const hello = await clientHello();
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(hello);
    const record = Buffer.concat([Buffer.of(23, 3, 3, 0x40, 0), Buffer.alloc(16_384)]);
    let written = 0;
    const write = (): void => {
      while (socket.writable && socket.write(record)) written += record.length;
    };
    socket.on('drain', write);
    await expect.poll(() => looked).toBeDefined();
    write();
    let before = -1;
    while (before !== socket.bytesWritten - socket.writableLength) {
      before = socket.bytesWritten - socket.writableLength;
      await sleep(300);
    }
    // What the kernel's buffers of both ends hold, and a quarter of a megabyte.
    expect(before).toBeLessThan(12_000_000);
    expect(written).toBeGreaterThan(0);
    looked!();
    await failed;
    socket.destroy();
    listener.close();
    await once(listener, 'close');
  });
});

async function clientHello(): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = tls.connect({ port, host: '127.0.0.1', servername: 'localhost' });
  client.on('error', () => undefined);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(accepted, 'data')) as [Buffer];
  client.destroy();
  accepted.destroy();
  server.close();
  return hello;
}

describeKernel('an exception behind a small file', () => {
  it('is not taken for the failure of the file', async () => {
    const path = fileURLToPath(import.meta.url);
    await using pair = await connectPair({ client: 'node' });
    pair.client.resume();
    const socket = pair.server as OffloadedSocket;
    let sent: Promise<number> | undefined;
    const uncaught = await uncaughtDuring(async () => {
      socket.cork();
      sent = socket.sendFile(path);
      const thrown = new Promise<void>((resolve) => {
        socket.write('x', () => {
          resolve();
          throw new Error('of the application');
        });
      });
      socket.uncork();
      await thrown;
      await sleep(20);
    });
    expect(uncaught).toMatchObject([{ message: 'of the application' }]);
    expect(await sent).toBeGreaterThan(1000);
  });
});

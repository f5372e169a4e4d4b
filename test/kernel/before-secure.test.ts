/** What an application does before its connection is secured, and finds in the listeners of that. */
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import type * as tls from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { connect } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type AnySocket, connectTo, isOffloaded, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { uncaughtDuring } from '../support/uncaught.js';
import { Witness } from '../support/witness.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

const refusing = () => {
  throw new Error('of the application');
};

interface Peer extends AsyncDisposable {
  port: number;
  /** What the first connection has brought, once it is closed. */
  brought: Promise<string>;
}

async function peer(options: tls.TlsOptions = {}): Promise<Peer> {
  const { listener, port } = await listen('node', options);
  const brought = new Promise<string>((resolve) => {
    listener.once('secureConnection', (socket: AnySocket) => {
      let text = '';
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('close', () => resolve(text));
    });
  });
  const close = async (): Promise<void> => {
    listener.close();
    await once(listener, 'close');
  };
  return { port, brought, [Symbol.asyncDispose]: close };
}

describeKernel('what is written before a connection is secured', () => {
  describe.each([
    ['under kernel TLS', 'TLSv1.3', undefined, true],
    ['under kernel TLS', 'TLSv1.2', undefined, true],
    // No kernel has it, which is known when the handshake is done.
    ['carried by node:tls', 'TLSv1.2', 'ECDHE-ECDSA-AES128-SHA256', false],
  ] as const)('%s, %s', (_name, maxVersion, ciphers, offloaded) => {
    const options = { maxVersion, ...(ciphers !== undefined && { ciphers }) };

    it('goes to no peer that a listener refuses', async () => {
      await using server = await peer(options);
      const socket = connectTo(server.port, 'ktls', options);
      let told: Error | null | undefined;
      let under: boolean | undefined;
      socket.write('secret', (error) => (told = error));
      socket.once('secureConnect', () => {
        under = isOffloaded(socket);
        socket.destroy();
      });
      await once(socket, 'close');
      expect(await server.brought).toBe('');
      expect(under).toBe(offloaded);
      expect(told).toMatchObject({ code: 'ERR_KTLS_CLOSED' });
    });

    it('goes ahead of what a listener writes', async () => {
      await using server = await peer(options);
      const socket = connectTo(server.port, 'ktls', options);
      const order: string[] = [];
      socket.write('first ', () => order.push('written'));
      socket.once('secureConnect', () => {
        order.push('secured');
        socket.end('second');
      });
      expect(await server.brought).toBe('first second');
      expect(order).toEqual(['secured', 'written']);
    });
  });

  it.each(['write', 'end'] as const)(
    'has the callback of %s() throw without harm when the peer is not trusted',
    async (method) => {
      await using server = await peer();
      const socket = connect({ port: server.port, host: '127.0.0.1' });
      const witness = new Witness(socket);
      const uncaught = await uncaughtDuring(async () => {
        socket[method]('early', refusing);
        await witness.until('close');
      });
      expect(uncaught).toMatchObject([{ message: 'of the application' }]);
      expect(witness.error).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    },
  );
});

describeKernel('a connection that is given up before it is secured', () => {
  it('is refused when checkServerIdentity throws', async () => {
    await using server = await peer();
    const uncaught = await uncaughtDuring(async () => {
      const socket = connectTo(server.port, 'ktls', {
        rejectUnauthorized: true,
        ca: ecdsaCertificate().cert,
        checkServerIdentity: refusing,
      });
      const witness = new Witness(socket);
      await witness.until('close');
      expect(witness.error).toMatchObject({ message: 'of the application' });
    });
    expect(uncaught).toMatchObject([{ message: 'of the application' }]);
  });

  it.each(['close', 'destroy'] as const)(
    'ends with %s() of an http2 session although the peer says nothing',
    async (method) => {
      const silent = createServer((socket) => void socket.resume());
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { port } = silent.address() as AddressInfo;
      const session = http2.connect(`https://127.0.0.1:${port}`, {
        createConnection: () => connectTo(port, 'ktls', { ALPNProtocols: ['h2'] }),
      });
      await once(silent, 'connection');
      const closed = once(session, 'close');
      session[method]();
      await closed;
      silent.close();
      await once(silent, 'close');
    },
  );
});

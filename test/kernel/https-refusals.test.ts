/** Connections that an offloaded `https.Server` turns away: it says what node:tls's own would say. */
import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { KtlsError, OffloadedSocket, offload } from '../../lib/index.js';
import { clientCertificate, ecdsaCertificate } from '../support/certificates.js';
import type { Side } from '../support/connection.js';
import { request, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

/** What the server says of the connection, and what of it the client notices. */
interface Outcome {
  tlsClientError: unknown;
  clientError: unknown;
  client: unknown;
  /** As a listener of 'tlsClientError' has them behind the server's own, which has destroyed the socket. */
  addresses: Addresses;
}

type Addresses = Partial<
  Record<'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort', string>
>;

/** The same for each connection: of ports whether they are there, and whether it is the right one. */
function addressesOf(socket: net.Socket, port: number): Addresses {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  const known = {
    remoteAddress,
    remotePort: remotePort === undefined ? undefined : 'some port',
    localAddress,
    localPort: localPort === port ? "the server's" : localPort?.toString(),
  };
  return JSON.parse(JSON.stringify(known)) as Addresses;
}

/** OpenSSL's errors begin with the number of a thread. */
const described = ({ code, message }: NodeJS.ErrnoException): unknown => ({
  code,
  message: message.replace(/^[0-9A-F]+:/, ''),
});

/** `attempt` plays the client and resolves with what it saw when its connection is closed. */
async function refused(
  side: Side,
  options: https.ServerOptions,
  attempt: (port: number) => Promise<unknown>,
): Promise<Outcome> {
  await using serving = await serve(() => expect.unreachable(), { side, options });
  const { server, port } = serving;
  const tlsError = once(server, 'tlsClientError') as Promise<[Error, net.Socket]>;
  let addresses: Addresses;
  server.on('tlsClientError', (_, socket) => (addresses = addressesOf(socket, port)));
  const clientError = once(server, 'clientError') as Promise<[Error, net.Socket]>;
  server.on('clientError', (error, socket) => socket.destroy(error));
  const client = attempt(port);
  const [error, socket] = await tlsError;
  const [sameError, sameSocket] = await clientError;
  expect(sameSocket).toBe(socket);
  if (side === 'ktls') expect(socket).toBeInstanceOf(OffloadedSocket);
  const outcome = {
    tlsClientError: described(error),
    clientError: described(sameError),
    client: await client,
    addresses: addresses!,
  };
  expect(serving.accepted).toHaveLength(0);
  await new Promise<void>((resolve) => {
    const look = (): void => {
      server.getConnections((_, count) => (count === 0 ? resolve() : setImmediate(look)));
    };
    look();
  });
  return outcome;
}

/** @param code - Of the error, where it is the same on every Node. */
async function expectAsNode(
  code: string | null,
  options: https.ServerOptions,
  attempt: (port: number) => Promise<unknown>,
): Promise<void> {
  const ours = await refused('ktls', options, attempt);
  const nodes = await refused('node', options, attempt);
  // Where it closes first and reports later it has forgotten the addresses.
  expect(ours).toEqual({ ...nodes, addresses: { ...ours.addresses, ...nodes.addresses } });
  if (code !== null) expect(ours).toMatchObject({ tlsClientError: { code } });
}

/** Sends this and resolves with all that comes back, as hexadecimal digits. */
const sending =
  (data: Uint8Array | string) =>
  async (port: number): Promise<string> => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    let answer = '';
    socket.setEncoding('hex').on('data', (digits: string) => (answer += digits));
    socket.write(data);
    await new Promise((resolve) => socket.once('close', resolve));
    return answer;
  };

/** Sends this and goes away. */
const leaving =
  (data: Uint8Array, leave: (socket: net.Socket) => void) =>
  async (port: number): Promise<void> => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    // The server may be gone first.
    socket.on('error', () => undefined);
    socket.write(data, () => leave(socket));
    await new Promise((resolve) => socket.once('close', resolve));
  };

/** A TLS client of Node: the error that ended it. */
const connecting =
  (options: tls.ConnectionOptions) =>
  async (port: number): Promise<unknown> => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    let seen: unknown = null;
    socket.on('error', (error: Error) => (seen = described(error)));
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    return seen;
  };

async function clientHello(): Promise<Buffer> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  const client = tls.connect({ port, host: '127.0.0.1' });
  client.on('error', () => undefined);
  const [socket] = (await once(listener, 'connection')) as [net.Socket];
  const [data] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  listener.close();
  await once(listener, 'close');
  return data;
}

describeKernel("'tlsClientError' comes, as from node:tls, for", () => {
  it('plain HTTP, at once', async () => {
    const text = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
    await expectAsNode('ERR_SSL_HTTP_REQUEST', {}, sending(text));
  });

  it('bytes that are no TLS at all', async () => {
    await expectAsNode('ERR_SSL_WRONG_VERSION_NUMBER', {}, sending(Buffer.alloc(100, 0x41)));
  });

  it('a record that is too long', async () => {
    const header = Buffer.from('160301ffff', 'hex');
    const data = Buffer.concat([header, Buffer.alloc(300, 1)]);
    await expectAsNode(null, {}, sending(data));
  });

  it('a ClientHello that makes no sense', async () => {
    const hello = await clientHello();
    hello.fill(0xff, 50);
    await expectAsNode(null, {}, sending(hello));
  });

  it('a client that speaks another protocol by ALPN', async () => {
    const outcome = connecting({ ALPNProtocols: ['gopher'] });
    await expectAsNode('ERR_SSL_NO_APPLICATION_PROTOCOL', {}, outcome);
  });

  it('a client whose newest version is too old', async () => {
    const options = { minVersion: 'TLSv1.3' } as const;
    await expectAsNode(
      'ERR_SSL_UNSUPPORTED_PROTOCOL',
      options,
      connecting({ maxVersion: 'TLSv1.2' }),
    );
  });

  it('a client with which no cipher is shared', async () => {
    const options = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' } as const;
    const client = connecting({ ciphers: 'TLS_AES_256_GCM_SHA384' });
    await expectAsNode('ERR_SSL_NO_SHARED_CIPHER', options, client);
  });

  it('a name that the SNICallback refuses', async () => {
    const options: https.ServerOptions = {
      SNICallback: (_name, done) =>
        done(Object.assign(new Error('no such name'), { code: 'E_NAME' })),
    };
    await expectAsNode('E_NAME', options, connecting({ servername: 'elsewhere.test' }));
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a client without a certificate: %s',
    async (version) => {
      const options = { requestCert: true, rejectUnauthorized: true, ca: clientCertificate().cert };
      const limits = { minVersion: version, maxVersion: version };
      const client = connecting(limits);
      await expectAsNode(null, options, client);
    },
  );

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a client certificate of an unknown authority: %s',
    async (version) => {
      const options = { requestCert: true, rejectUnauthorized: true, ca: ecdsaCertificate().cert };
      const limits = { minVersion: version, maxVersion: version };
      const client = connecting({ ...limits, ...clientCertificate() });
      await expectAsNode(null, options, client);
    },
  );

  it.each([
    ['is closed', (socket: net.Socket) => socket.end()],
    ['is destroyed', (socket: net.Socket) => socket.destroy()],
  ])('a connection that %s before or in the middle of the ClientHello', async (_, leave) => {
    const hello = await clientHello();
    for (const sent of [0, 3, 5, 100, hello.length - 1]) {
      await expectAsNode('ECONNRESET', {}, leaving(hello.subarray(0, sent), leave));
    }
  });

  it('a connection that is reset in the middle of the ClientHello', async () => {
    const hello = await clientHello();
    const leave = leaving(hello.subarray(0, 100), (socket) => socket.resetAndDestroy());
    // libuv may take the reset for an end, and node:tls then says "socket hang up".
    expect(await refused('ktls', {}, leave)).toMatchObject({
      tlsClientError: { code: 'ECONNRESET' },
    });
  });

  it('a client that is silent for longer than handshakeTimeout', async () => {
    const hello = await clientHello();
    for (const sent of [0, 100]) {
      const silent = sending(hello.subarray(0, sent));
      await expectAsNode('ERR_TLS_HANDSHAKE_TIMEOUT', { handshakeTimeout: 100 }, silent);
    }
  });
});

describeKernel('after all these the server', () => {
  it('still serves', async () => {
    await using serving = await serve((_, response) => response.end('served'));
    const refusal = once(serving.server, 'tlsClientError');
    await sending('GET / HTTP/1.1\r\n\r\n')(serving.port);
    await refusal;
    expect((await request(serving.port)).body.toString()).toBe('served');
  });
});

describeKernel('with a cipher that no kernel has', () => {
  // Its short tag is below OpenSSL's ordinary security levels.
  const ciphers = 'TLS_AES_128_CCM_8_SHA256:DEFAULT@SECLEVEL=0';
  const options = { ciphers, minVersion: 'TLSv1.3' } as const;

  it("mode 'require' ends the connection before any application byte", async () => {
    await using serving = await serve(() => expect.unreachable(), {
      options,
      offload: { mode: 'require' },
    });
    const reported = once(serving.server, 'tlsClientError') as Promise<[KtlsError]>;
    await expect(request(serving.port, options)).rejects.toMatchObject({ code: 'ECONNRESET' });
    const [error] = await reported;
    expect(error).toBeInstanceOf(KtlsError);
    expect(error).toMatchObject({ code: 'ERR_KTLS_CIPHER' });
    expect(serving.accepted).toHaveLength(0);
  });

  it("mode 'prefer' serves it by node:tls and says so", async () => {
    await using serving = await serve((_, response) => response.end('served'), { options });
    expect((await request(serving.port, options)).body.toString()).toBe('served');
    expect(serving.accepted[0]).toMatchObject({
      offload: { offloaded: false, reason: 'ERR_KTLS_CIPHER' },
    });
  });
});

describeKernel("mode 'off'", () => {
  it("serves by node:tls's own socket", async () => {
    await using serving = await serve((_, response) => response.end('served'), {
      offload: { mode: 'off' },
    });
    expect((await request(serving.port)).body.toString()).toBe('served');
    expect(serving.accepted[0]).toBeInstanceOf(tls.TLSSocket);
    expect(serving.accepted[0]).toMatchObject({
      offload: { offloaded: false, reason: 'ERR_KTLS_OFF' },
    });
  });
});

describe('offload() throws for', () => {
  it.each([
    ['an http.Server', () => http.createServer()],
    ['a net.Server', () => net.createServer()],
    ['a socket', () => new net.Socket()],
    ['nothing', () => undefined],
  ])('%s', (_, make) => {
    expect(() => offload(make() as unknown as tls.Server)).toThrow(
      expect.objectContaining({ code: 'ERR_KTLS_NOT_A_TLS_SERVER' }),
    );
  });

  it('an https.Server that is offloaded already', () => {
    const server = offload(https.createServer());
    expect(() => offload(server)).toThrow(
      expect.objectContaining({ code: 'ERR_KTLS_ALREADY_OFFLOADED' }),
    );
  });

  it('a server whose own listener is gone', () => {
    const server = https.createServer();
    server.removeAllListeners('connection');
    expect(() => offload(server)).toThrow(
      expect.objectContaining({ code: 'ERR_KTLS_NOT_A_TLS_SERVER' }),
    );
  });
});

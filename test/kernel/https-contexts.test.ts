/** Certificates and protocols of an offloaded server: SNI, contexts changed while it runs, HTTP/2. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { OffloadedSocket, offload, stats } from '../../lib/index.js';
import {
  type Certificate,
  clientCertificate,
  ecdsaCertificate,
  rsaCertificate,
} from '../support/certificates.js';
import { isOffloaded } from '../support/connection.js';
import { closed, rawClient, request, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

const fingerprint = ({ cert }: Certificate): string => new X509Certificate(cert).fingerprint256;

/** Of the certificate that the server shows. */
async function shown(port: number, options: tls.ConnectionOptions = {}): Promise<string> {
  const client = await rawClient(port, options);
  const { fingerprint256 } = client.getPeerCertificate();
  client.end();
  client.resume();
  await closed(client);
  return fingerprint256;
}

describeKernel('the certificate of an offloaded server', () => {
  it('follows addContext by server name', async () => {
    // Keys of one kind: node:tls adds the context's certificate to the default one's, and OpenSSL chooses.
    const [usual, special] = [rsaCertificate(), clientCertificate()];
    await using serving = await serve((_, response) => response.end(), { options: usual });
    serving.server.addContext('other.test', special);
    serving.server.addContext('*.wild.test', special);
    const { port } = serving;
    expect(await shown(port)).toBe(fingerprint(usual));
    expect(await shown(port, { servername: 'other.test' })).toBe(fingerprint(special));
    expect(await shown(port, { servername: 'a.wild.test' })).toBe(fingerprint(special));
    expect(await shown(port, { servername: 'no.test' })).toBe(fingerprint(usual));
    const names = serving.accepted.map((socket) => (socket as OffloadedSocket).servername);
    expect(names).toEqual([false, 'other.test', 'a.wild.test', 'no.test']);
    expect(serving.accepted.every(isOffloaded)).toBe(true);
  });

  it('follows setSecureContext, for connections made later', async () => {
    await using serving = await serve((_, response) => response.end('alive'));
    const { server, port } = serving;
    const early = await rawClient(port);
    server.setSecureContext(rsaCertificate());
    expect(await shown(port)).toBe(fingerprint(rsaCertificate()));
    expect(early.getPeerCertificate().fingerprint256).toBe(fingerprint(ecdsaCertificate()));
    early.destroy();
    server.setSecureContext(ecdsaCertificate());
    expect(await shown(port)).toBe(fingerprint(ecdsaCertificate()));
  });

  it('resumes sessions across connections with keys set by setTicketKeys', async () => {
    await using serving = await serve((_, response) => response.end());
    const keys = Buffer.alloc(48, 7);
    serving.server.setTicketKeys(keys);
    const first = tls.connect({ port: serving.port, host: '127.0.0.1', rejectUnauthorized: false });
    const [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();

    await using another = await serve((_, response) => response.end());
    another.server.setTicketKeys(keys);
    const client = await rawClient(another.port, { session });
    expect(client.isSessionReused()).toBe(true);
    client.destroy();
  });
});

describeKernel('an Http2SecureServer that allows HTTP/1', () => {
  async function serveBoth(): Promise<{
    server: http2.Http2SecureServer;
    port: number;
    sockets: unknown[];
    [Symbol.asyncDispose]: () => Promise<void>;
  }> {
    const sockets: unknown[] = [];
    const server = http2.createSecureServer(
      { ...ecdsaCertificate(), allowHTTP1: true },
      (message, response) => {
        response.end(`${message.httpVersion} ${message.url}`);
      },
    );
    offload(server).on('secureConnection', (socket) => sockets.push(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return {
      ...{ server, port, sockets },
      async [Symbol.asyncDispose]() {
        server.close();
        await once(server, 'close');
      },
    };
  }

  it('speaks HTTP/2 over kernel TLS', async () => {
    await using serving = await serveBoth();
    const decryptErrors = stats()!['TlsDecryptError'];
    const session = http2.connect(`https://127.0.0.1:${serving.port}`, {
      rejectUnauthorized: false,
    });
    for (const path of ['/first', '/second']) {
      const stream = session.request({ ':path': path });
      stream.setEncoding('utf8');
      expect((await stream.toArray()).join('')).toBe(`2.0 ${path}`);
    }
    expect(serving.sockets).toHaveLength(1);
    expect(serving.sockets[0]).toBeInstanceOf(OffloadedSocket);
    expect(serving.sockets[0]).toMatchObject({ alpnProtocol: 'h2' });
    session.close();
    await once(session, 'close');
    expect(stats()!['TlsDecryptError']).toBe(decryptErrors);
  });

  it('speaks HTTP/1.1 over kernel TLS', async () => {
    await using serving = await serveBoth();
    const { body } = await request(serving.port, { path: '/old', ALPNProtocols: ['http/1.1'] });
    expect(body.toString()).toBe('1.1 /old');
    expect(serving.sockets[0]).toMatchObject({ alpnProtocol: 'http/1.1' });
    expect(serving.sockets[0]).toBeInstanceOf(OffloadedSocket);
  });
});

/** The API of tls.TLSSocket on an offloaded socket, judged by the TLSSocket of node:tls at the other end. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import * as tls from 'node:tls';
import { expect, it } from 'vitest';
import { OffloadedSocket } from '../../lib/index.js';
import { kernelFeatures } from '../../lib/kernel/features.js';
import { clientCertificate, ecdsaCertificate, rsaCertificate } from '../support/certificates.js';
import {
  type AnySocket,
  type Pair,
  connectPair,
  connectTo,
  isOffloaded,
  listen,
} from '../support/connection.js';
import { closed } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { type Version, versions } from '../support/scripted.js';

/** node:tls's types want a context, node:tls does not. */
const exportFrom = (socket: AnySocket, length: number, label: string, context?: Buffer): Buffer =>
  socket.exportKeyingMaterial(length, label, context!);

type Side = 'server' | 'client';

/** A connection that is offloaded on one side, and one that is node:tls on both. */
async function pairOf(
  ours: Side | 'neither',
  version: Version,
  options: tls.TlsOptions & tls.ConnectionOptions = {},
): Promise<Pair> {
  const pair = await connectPair({
    server: ours === 'server' ? 'ktls' : 'node',
    client: ours === 'client' ? 'ktls' : 'node',
    serverOptions: { minVersion: version, maxVersion: version, ...options },
    clientOptions: { ...options, servername: 'localhost' },
  });
  if (ours !== 'neither') expect(isOffloaded(pair[ours])).toBe(true);
  return pair;
}

const mutual = (): tls.TlsOptions & tls.ConnectionOptions => {
  const { key, cert } = clientCertificate();
  return {
    ...ecdsaCertificate(),
    ca: [cert, ecdsaCertificate().cert],
    requestCert: true,
    key,
    cert,
  };
};

/** The getters whose answers do not depend on the connection. */
const shape = (socket: AnySocket): object => ({
  certificate: socket.getCertificate(),
  x509: socket.getX509Certificate()?.fingerprint256,
  peer: socket.getPeerCertificate(),
  peerDetailed: socket.getPeerCertificate(true),
  cipher: socket.getCipher(),
  protocol: socket.getProtocol(),
  ephemeral: socket.getEphemeralKeyInfo(),
  reused: socket.isSessionReused(),
  sigalgs: socket.getSharedSigalgs(),
  peerX509: socket.getPeerX509Certificate()?.fingerprint256,
});

describeKernel('the API of tls.TLSSocket', () => {
  it('is whole: every public name of TLSSocket is there', () => {
    const known = new Set<string>();
    const prototypes = [OffloadedSocket.prototype];
    for (let at: object | null = prototypes[0]!; at !== null;) {
      for (const name of Object.getOwnPropertyNames(at)) known.add(name);
      at = Object.getPrototypeOf(at) as object | null;
    }
    const names = Object.getOwnPropertyNames(tls.TLSSocket.prototype);
    expect(names.filter((name) => !name.startsWith('_') && !known.has(name))).toEqual([]);
  });

  it('takes a session and a name until the connection stands', async () => {
    const { listener, port } = await listen('ktls', { maxVersion: 'TLSv1.2' });
    const connected = async (session?: Buffer): Promise<OffloadedSocket> => {
      const accepted = once(listener, 'secureConnection') as Promise<[OffloadedSocket]>;
      const client = connectTo(port, 'ktls') as OffloadedSocket;
      client.setServername('told.example');
      if (session !== undefined) client.setSession(session);
      await once(client, 'secureConnect');
      const [server] = await accepted;
      server.on('error', () => undefined);
      expect([isOffloaded(client), isOffloaded(server)]).toEqual([true, true]);
      // Of a resumed session not every OpenSSL says it to the server.
      if (session === undefined) expect(server.servername).toBe('told.example');
      return client;
    };
    const first = await connected();
    expect(first.isSessionReused()).toBe(false);
    const second = await connected(first.getSession());
    expect(second.isSessionReused()).toBe(true);
    expect(second.getTLSTicket()).toEqual(first.getTLSTicket());
    expect(second.getTLSTicket()!.length).toBeGreaterThan(100);
    first.destroy();
    second.destroy();
    listener.close();
    await once(listener, 'close');
  });

  it('tells the server of a client that has nothing to offer, as node:tls does', async () => {
    const errors = async (side: 'ktls' | 'node'): Promise<unknown[]> => {
      const { listener, port } = await listen('node');
      const rejected = once(listener, 'tlsClientError') as Promise<[NodeJS.ErrnoException]>;
      const client = connectTo(port, side, { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' });
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      const [[atServer]] = await Promise.all([rejected, closed(client)]);
      listener.close();
      return [client instanceof OffloadedSocket, error.code, atServer.code];
    };
    const [, ...theirs] = await errors('node');
    expect(theirs[0]).toBe('ERR_SSL_NO_PROTOCOLS_AVAILABLE');
    expect(await errors('ktls')).toEqual([true, ...theirs]);
  });

  for (const version of versions) {
    it(`brings the server's OCSP response to its client (${version})`, async () => {
      const answers: (Buffer | null)[] = [Buffer.from('stapled'), null];
      const { listener, port } = await listen('ktls', { maxVersion: version });
      listener.on('OCSPRequest', (_certificate, _issuer, answer) => {
        // Not within the call, as when it has to be fetched.
        setImmediate(() => answer(null, answers.shift()!));
      });
      for (const expected of [...answers]) {
        const client = connectTo(port, 'ktls', { requestOCSP: true } as tls.ConnectionOptions);
        const told = once(client, 'OCSPResponse') as Promise<[Buffer | null]>;
        await once(client, 'secureConnect');
        expect(isOffloaded(client)).toBe(true);
        expect((await told)[0]).toEqual(expected);
        client.destroy();
        await closed(client);
      }
      listener.close();
      await once(listener, 'close');
    });
  }

  it('lets ALPNCallback choose the certificate', async () => {
    // It comes when the kind of key is chosen.
    const other = ecdsaCertificate('other.example');
    const chosen = tls.createSecureContext(other);
    const { listener, port } = await listen('ktls', {
      ALPNCallback(this: tls.TLSSocket, { protocols }: { protocols: string[] }) {
        if (protocols[0] === 'other') this.setKeyCert(chosen);
        return protocols[0];
      },
    });
    for (const [protocol, { cert }] of [
      ['usual', ecdsaCertificate()],
      ['other', other],
    ] as const) {
      const accepted = once(listener, 'secureConnection') as Promise<[OffloadedSocket]>;
      const client = connectTo(port, 'ktls', { ALPNProtocols: [protocol] });
      await once(client, 'secureConnect');
      const [server] = await accepted;
      const { fingerprint256 } = new X509Certificate(cert);
      expect(client.getPeerX509Certificate()?.fingerprint256).toBe(fingerprint256);
      expect(server.getX509Certificate()?.fingerprint256).toBe(fingerprint256);
      expect([isOffloaded(client), isOffloaded(server)]).toEqual([true, true]);
      expect([client.alpnProtocol, server.alpnProtocol]).toEqual([protocol, protocol]);
      client.destroy();
      await closed(client);
    }
    listener.close();
  });

  it('shows the certificate that each connection got, whichever the server has by then', async () => {
    const { listener, port } = await listen('ktls');
    listener.addContext('other.example', rsaCertificate());
    const shown = async (servername: string, ciphers?: string): Promise<(string | undefined)[]> => {
      const accepted = once(listener, 'secureConnection') as Promise<[OffloadedSocket]>;
      // With TLS 1.3 OpenSSL chooses between kinds of keys before it asks for the name.
      const client = connectTo(port, 'node', { servername, ciphers, maxVersion: 'TLSv1.2' });
      await once(client, 'secureConnect');
      const [socket] = await accepted;
      expect(isOffloaded(socket)).toBe(true);
      const ours = socket.getX509Certificate()?.fingerprint256;
      const theirs = client.getPeerX509Certificate()?.fingerprint256;
      client.destroy();
      return [ours, theirs];
    };
    const { fingerprint256: ecdsa } = new X509Certificate(ecdsaCertificate().cert);
    const { fingerprint256: rsa } = new X509Certificate(rsaCertificate().cert);
    for (let i = 0; i < 2; i++) {
      expect(await shown('localhost')).toEqual([ecdsa, ecdsa]);
      expect(await shown('other.example')).toEqual([rsa, rsa]);
    }
    listener.setSecureContext(rsaCertificate());
    expect(await shown('localhost')).toEqual([rsa, rsa]);
    const both = [ecdsaCertificate(), rsaCertificate()];
    listener.setSecureContext({
      cert: both.map(({ cert }) => cert),
      key: both.map(({ key }) => key),
    });
    for (const [kind, own] of [
      ['ECDSA', ecdsa],
      ['RSA', rsa],
    ] as const) {
      expect(await shown('localhost', `ECDHE-${kind}-AES128-GCM-SHA256`)).toEqual([own, own]);
    }
    listener.close();
  });

  for (const version of versions) {
    for (const side of ['server', 'client'] as const) {
      it(`answers as node:tls does with client certificates (${version}, ${side})`, async () => {
        await using ours = await pairOf(side, version, mutual());
        await using theirs = await pairOf('neither', version, mutual());
        expect(shape(ours[side])).toEqual(shape(theirs[side]));
      });

      it(`answers as node:tls does without (${version}, ${side})`, async () => {
        await using ours = await pairOf(side, version);
        await using theirs = await pairOf('neither', version);
        expect(shape(ours[side])).toEqual(shape(theirs[side]));
      });

      it(`agrees with the peer about the Finished messages (${version}, ${side})`, async () => {
        await using pair = await pairOf(side, version);
        const other = pair[side === 'server' ? 'client' : 'server'];
        expect(pair[side].getFinished()).toEqual(other.getPeerFinished());
        expect(pair[side].getPeerFinished()).toEqual(other.getFinished());
        expect(pair[side].getFinished()!.length).toBeGreaterThan(0);
      });

      it(`exports the peer's keying material (${version}, ${side})`, async () => {
        await using pair = await pairOf(side, version);
        const exports = (socket: AnySocket): string[] =>
          [
            [32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)],
            [32, 'EXPORTER-Channel-Binding', undefined],
            [1, 'EXPERIMENTAL ü', Buffer.from('context')],
            [1000, 'client EAP encryption', Buffer.alloc(300, 7)],
          ].map((args) =>
            exportFrom(socket, ...(args as [number, string, Buffer | undefined])).toString('hex'),
          );
        expect(exports(pair.server)).toEqual(exports(pair.client));
        const socket = pair[side];
        const wrong = (...args: unknown[]) => {
          try {
            (socket.exportKeyingMaterial as (...args: unknown[]) => Buffer)(...args);
          } catch (error) {
            return (error as NodeJS.ErrnoException).code;
          }
          return 'no error';
        };
        expect(wrong(0, 'x')).toBe('ERR_OUT_OF_RANGE');
        expect(wrong('1', 'x')).toBe('ERR_INVALID_ARG_TYPE');
        expect(wrong(1, 1)).toBe('ERR_INVALID_ARG_TYPE');
        expect(wrong(1, 'x', 'y')).toBe('ERR_INVALID_ARG_TYPE');
        if (version === 'TLSv1.2') {
          expect(wrong(8, 'master secret')).toBe('ERR_SSL_TLS_ILLEGAL_EXPORTER_LABEL');
        }
        socket.destroy();
        expect(wrong(1, 'x')).toBe('ERR_TLS_INVALID_STATE');
      });

      it(`does not renegotiate (${version}, ${side})`, async () => {
        await using pair = await pairOf(side, version);
        const socket = pair[side];
        socket.disableRenegotiation();
        socket.enableTrace();
        const error = await new Promise<Error | null>((resolve) => {
          expect(socket.renegotiate({}, resolve)).toBe(false);
        });
        const code = version === 'TLSv1.3' ? 'ERR_SSL_WRONG_SSL_VERSION' : 'ERR_KTLS_RENEGOTIATION';
        expect(error).toMatchObject({ code });
        socket.write('still here');
        const other = pair[side === 'server' ? 'client' : 'server'];
        expect(String((await once(other, 'data'))[0])).toBe('still here');
      });
    }
  }

  it('limits its records where the kernel can', async () => {
    await using pair = await pairOf('server', 'TLSv1.3');
    const server = pair.server as OffloadedSocket;
    expect(server.setMaxSendFragment(511)).toBe(false);
    expect(server.setMaxSendFragment(16385)).toBe(false);
    const possible = kernelFeatures().maxPayload === 0;
    expect(server.setMaxSendFragment(512)).toBe(possible);
    server.write(Buffer.alloc(4096));
    const [first] = (await once(pair.client, 'data')) as [Buffer];
    // node:tls hands out record by record.
    expect(first.length).toBe(possible ? 512 : 4096);
  });

  it('refuses to name a server from a server', async () => {
    await using pair = await pairOf('server', 'TLSv1.3');
    expect(() => (pair.server as OffloadedSocket).setServername('x')).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_SNI_FROM_SERVER' }) as Error,
    );
  });
});

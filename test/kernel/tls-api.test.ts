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
    const missing = names.filter((name) => !name.startsWith('_') && !known.has(name));
    // Of a client that has not begun yet; `tls.connect` calls it for its own option.
    expect(missing.filter((name) => name !== 'setSession')).toEqual([]);
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

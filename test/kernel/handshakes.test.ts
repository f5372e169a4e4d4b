/** The hand-over is exact whatever the handshake looked like. */
import { constants } from 'node:crypto';
import { once } from 'node:events';
import * as tls from 'node:tls';
import { expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import { ContentType } from '../../lib/tls/constants.js';
import { clientCertificate, ecdsaCertificate } from '../support/certificates.js';
import {
  type AnySocket,
  type PairOptions,
  type Side,
  connectPair,
  connectTo,
  exchange,
  isOffloaded,
  listen,
  readExactly,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { recordTypes, tap } from '../support/wire.js';

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
const roles: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];

function forEachRole(
  name: string,
  only: readonly (typeof versions)[number][],
  body: (context: {
    version: (typeof versions)[number];
    options: PairOptions;
    limits: { minVersion: 'TLSv1.2' | 'TLSv1.3'; maxVersion: 'TLSv1.2' | 'TLSv1.3' };
  }) => Promise<void>,
): void {
  for (const version of only) {
    for (const [server, client] of roles) {
      it(`${name}: ${version}, ${server} server, ${client} client`, async () => {
        const errors = stats()!['TlsDecryptError'];
        const limits = { minVersion: version, maxVersion: version };
        await body({ version, options: { server, client }, limits });
        expect(stats()!['TlsDecryptError']).toBe(errors);
      });
    }
  }
}

/** Those that are to be under kernel TLS are. */
function expectOffloaded(
  pair: { server: AnySocket; client: AnySocket },
  { server, client }: PairOptions,
): void {
  if (server === 'ktls') expect(isOffloaded(pair.server)).toBe(true);
  if (client === 'ktls') expect(isOffloaded(pair.client)).toBe(true);
}

async function expectWorks(options: PairOptions): Promise<void> {
  await using pair = await connectPair(options);
  expect(await exchange(pair, 50_000)).toBe(true);
  expectOffloaded(pair, options);
}

describeKernel('the hand-over after', () => {
  forEachRole('a full handshake', versions, async ({ options, limits }) => {
    await expectWorks({ ...options, serverOptions: limits, clientOptions: limits });
  });

  // TLS 1.3 without tickets still has them, stateful ones, but node:tls cannot resume those.
  for (const [kind, secureOptions, only] of [
    ['ticket', 0, versions],
    ['session id', constants.SSL_OP_NO_TICKET, ['TLSv1.2']],
  ] as const) {
    forEachRole(`a session resumed by ${kind}`, only, async ({ options, limits }) => {
      const { listener, port } = await listen(options.server!, { ...limits, secureOptions });
      listener.on('secureConnection', (socket: tls.TLSSocket) => socket.end('done'));
      // Without tickets the server must remember sessions itself.
      const store = new Map<string, Buffer>();
      if (secureOptions !== 0) {
        listener.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
          store.set(id.toString('hex'), data);
          setImmediate(done);
        });
        listener.on('resumeSession', (id: Buffer, done) => {
          setImmediate(() => done(null, store.get(id.toString('hex')) ?? null));
        });
      }
      // The session comes from node:tls: this client only has to resume it.
      const first = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...limits });
      let session: Buffer | undefined;
      first.on('session', (newest: Buffer) => (session = newest));
      first.resume();
      await once(first, 'close');
      expect(session).toBeDefined();
      listener.removeAllListeners('secureConnection');

      const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const client = connectTo(port, options.client!, { ...limits, session: session! });
      await once(client, 'secureConnect');
      const [server] = await accepted;
      expect(client.isSessionReused()).toBe(true);
      expect(await exchange({ server, client }, 20_000)).toBe(true);
      expectOffloaded({ server, client }, options);
      client.destroy();
      listener.close();
      await once(listener, 'close');
    });
  }

  forEachRole('a full handshake without tickets', versions, async ({ options, limits }) => {
    const secureOptions = constants.SSL_OP_NO_TICKET;
    await expectWorks({
      ...options,
      serverOptions: { ...limits, secureOptions },
      clientOptions: limits,
    });
  });

  forEachRole('an external PSK', versions, async ({ options, limits }) => {
    const psk = Buffer.alloc(32, 9);
    const ciphers =
      limits.minVersion === 'TLSv1.3' ? 'TLS_AES_128_GCM_SHA256' : 'PSK-AES128-GCM-SHA256';
    await expectWorks({
      ...options,
      serverOptions: { ...limits, ciphers, pskCallback: () => psk },
      clientOptions: {
        ...limits,
        ciphers,
        pskCallback: () => ({ psk, identity: 'somebody' }),
        checkServerIdentity: () => undefined,
      },
    });
  });

  forEachRole('a HelloRetryRequest', ['TLSv1.3'], async ({ options, limits }) => {
    await expectWorks({
      ...options,
      serverOptions: { ...limits, ecdhCurve: 'P-384' },
      clientOptions: { ...limits, ecdhCurve: 'P-256:P-384' },
    });
  });

  for (const bits of [2048, 4096]) {
    forEachRole(`a client certificate of ${bits} bits`, versions, async ({ options, limits }) => {
      const { key, cert } = clientCertificate(bits);
      await expectWorks({
        ...options,
        serverOptions: { ...limits, requestCert: true, rejectUnauthorized: true, ca: cert },
        clientOptions: { ...limits, key, cert },
      });
    });
  }

  forEachRole('an asynchronous SNICallback', versions, async ({ options, limits }) => {
    const context = tls.createSecureContext(ecdsaCertificate());
    await expectWorks({
      ...options,
      serverOptions: {
        ...limits,
        SNICallback: (_name, done) => setTimeout(() => done(null, context), 20),
      },
      clientOptions: { ...limits, servername: 'localhost' },
    });
  });

  forEachRole('slow newSession listeners', versions, async ({ options, limits }) => {
    const { listener, port } = await listen(options.server!, limits);
    listener.on('newSession', (_id, _session, done: () => void) => setTimeout(done, 30));
    const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const client = connectTo(port, options.client!, limits);
    await once(client, 'secureConnect');
    const [server] = await accepted;
    // The tickets may be released to a client that has gone.
    server.on('error', () => undefined);
    expect(await exchange({ server, client }, 20_000)).toBe(true);
    expectOffloaded({ server, client }, options);
    client.destroy();
    listener.close();
    await once(listener, 'close');
  });

  forEachRole('a big ClientHello', versions, async ({ options, limits }) => {
    const names = Array.from({ length: 60 }, (_, i) => `protocol-${i}`.padEnd(200, 'x'));
    await expectWorks({
      ...options,
      serverOptions: { ...limits, ALPNProtocols: [names[59]!] },
      clientOptions: { ...limits, ALPNProtocols: names },
    });
  });

  forEachRole('a Finished with data in the same segment', versions, async (context) => {
    const { version, options, limits } = context;
    // The Finished that comes last is the client's in TLS 1.3, the server's in TLS 1.2.
    const last = version === 'TLSv1.3' ? 'server' : 'client';
    // In TLS 1.3 it has the content type of data itself.
    const enough = version === 'TLSv1.3' ? 2 : 1;
    let held: Buffer[] | null = null;
    let joined = false;
    const transform = (chunk: Buffer, towards: 'server' | 'client'): Buffer | null => {
      if (towards !== last || joined) return chunk;
      if (held === null && !recordTypes([chunk], true).includes(ContentType.changeCipherSpec)) {
        return chunk;
      }
      held = [...(held ?? []), chunk];
      const types = recordTypes(held, true);
      joined = types.filter((type) => type === ContentType.applicationData).length >= enough;
      return joined ? Buffer.concat(held) : null;
    };
    const { listener, port } = await listen(options.server!, limits);
    const wire = await tap(port, { transform });
    const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
    if (last === 'client') listener.on('secureConnection', (socket) => socket.write('joined'));
    const client = connectTo(wire.port, options.client!, limits);
    const secured = once(client, 'secureConnect');
    if (last === 'server') client.write('joined');
    const [[server]] = await Promise.all([accepted, secured]);
    const [reader, writer] = last === 'server' ? [server, client] : [client, server];
    expect((await readExactly(reader, 6)).toString()).toBe('joined');
    expect(joined).toBe(true);
    reader.write('answer');
    expect((await readExactly(writer, 6)).toString()).toBe('answer');
    expectOffloaded({ server, client }, options);
    client.destroy();
    await wire.close();
    listener.close();
    await once(listener, 'close');
  });

  forEachRole('one byte at a time', versions, async ({ options, limits }) => {
    const { listener, port } = await listen(options.server!, limits);
    const wire = await tap(port, { dribble: true });
    const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const client = connectTo(wire.port, options.client!, limits);
    client.write('early');
    await once(client, 'secureConnect');
    const [server] = await accepted;
    server.write('answer');
    expect((await readExactly(server, 5)).toString()).toBe('early');
    expect((await readExactly(client, 6)).toString()).toBe('answer');
    expectOffloaded({ server, client }, options);
    client.destroy();
    await wire.close();
    listener.close();
    await once(listener, 'close');
  });
});

/** Our sockets against the `openssl` command: another TLS stack in another process, on every suite in use. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as tls from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import { kernelFeatures } from '../../lib/kernel/features.js';
import { type CipherSuite, cipherSuites } from '../../lib/tls/cipher-suites.js';
import { type Certificate, clientCertificate, ecdsaCertificate } from '../support/certificates.js';
import {
  type AnySocket,
  type Side,
  connectTo,
  isOffloaded,
  listen,
  readAll,
  readExactly,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import {
  type OpensslPeer,
  type Version,
  credentials,
  sClient,
  sServer,
  suiteArguments,
  versionArgument,
} from '../support/openssl.js';
import { Scratch } from '../support/scratch.js';
import { clientSuiteOptions, serverSuiteOptions } from '../support/suites.js';
import { recordLengths, tap } from '../support/wire.js';

const versions: readonly Version[] = ['TLSv1.2', 'TLSv1.3'];
const limitedTo = (version: Version) => ({ minVersion: version, maxVersion: version });

const scratch = new Scratch();
const socketsBefore = openSockets();
afterAll(async () => {
  scratch.remove();
  await onlyOpen(socketsBefore);
});

const trusting = ({ cert }: Certificate): string[] => [
  ...['-CAfile', scratch.write('trusted.pem', cert), '-verify_return_error'],
];

interface Accepted {
  socket: AnySocket;
  client: OpensslPeer;
}

/** Runs `body` with a connection that s_client has made to a server of ours. */
async function withClient(
  options: tls.TlsOptions,
  args: string[],
  body: (accepted: Accepted) => Promise<void>,
  side: Side = 'ktls',
): Promise<void> {
  const { listener, port } = await listen(side, options);
  try {
    const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
    const failed = once(listener, 'tlsClientError') as Promise<[Error]>;
    await using client = sClient(port, ...args);
    const [socket] = await Promise.race([
      accepted,
      failed.then(([error]) => Promise.reject(error)),
      client.exit().then(() => Promise.reject(new Error(`s_client: ${client.errors}`))),
    ]);
    await body({ socket, client });
    socket.destroy();
  } finally {
    listener.close();
    await once(listener, 'close');
  }
}

async function expectDecrypted(body: () => Promise<void>): Promise<void> {
  const before = stats()!;
  await body();
  const after = stats()!;
  expect(after['TlsDecryptError']).toBe(before['TlsDecryptError']);
  // All there have ever been: those there are now grow fewer when a connection of before is closed at last.
  const sessions = (counters: typeof before, way: string) =>
    counters[`Tls${way}Sw`]! + counters[`Tls${way}Device`]!;
  expect(sessions(after, 'Tx')).toBeGreaterThan(sessions(before, 'Tx'));
  expect(sessions(after, 'Rx')).toBeGreaterThan(sessions(before, 'Rx'));
}

/** Random bytes both ways at once. */
async function exchange(socket: AnySocket, peer: OpensslPeer, bytes: number): Promise<void> {
  const down = randomBytes(bytes);
  const up = randomBytes(bytes);
  const already = peer.output.length;
  socket.write(down);
  peer.send(up);
  const [atPeer, atSocket] = await Promise.all([
    peer.receive(already + bytes),
    readExactly(socket, bytes),
  ]);
  expect(atPeer.subarray(already).equals(down)).toBe(true);
  expect(atSocket.equals(up)).toBe(true);
}

/** We end first; openssl answers with its own close_notify, and exits with 0 only after a clean end. */
async function expectCleanEnd(socket: AnySocket, peer: OpensslPeer): Promise<void> {
  const closed = once(socket, 'close');
  socket.end();
  expect(await readAll(socket)).toHaveLength(0);
  await closed;
  expect(socket).toMatchObject({ closeNotifyReceived: true });
  expect(await peer.exit()).toBe(0);
}

const everyday = (suite: CipherSuite): boolean => !/PSK|DSS|ADH|ARIA|^AES/.test(suite.name);

describeKernel('each cipher in everyday use, against openssl', () => {
  for (const suite of cipherSuites.filter(everyday)) {
    it(`${suite.name}: our server, s_client`, async () => {
      await expectDecrypted(async () => {
        const options = serverSuiteOptions(suite);
        const certificate = { key: '', cert: options.cert as string };
        const args = [...suiteArguments(suite), '-quiet', ...trusting(certificate)];
        await withClient(options, args, async ({ socket, client }) => {
          expect(isOffloaded(socket)).toBe(true);
          expect(socket.getCipher().name).toBe(suite.name);
          await exchange(socket, client, 100_000);
          await expectCleanEnd(socket, client);
        });
      });
    });

    it(`${suite.name}: our client, s_server`, async () => {
      await expectDecrypted(async () => {
        const { key, cert } = serverSuiteOptions(suite) as Certificate;
        const args = [...suiteArguments(suite), '-quiet', ...credentials(scratch, { key, cert })];
        const { peer, port } = await sServer(1, scratch.directory, ...args);
        await using _ = peer;
        const options = { ...clientSuiteOptions(suite), ca: cert, rejectUnauthorized: true };
        const client = connectTo(port, 'ktls', options);
        await once(client, 'secureConnect');
        expect(isOffloaded(client)).toBe(true);
        expect(client.getCipher().name).toBe(suite.name);
        await exchange(client, peer, 100_000);
        await expectCleanEnd(client, peer);
      });
    });
  }
});

describeKernel('the end of a connection with openssl', () => {
  for (const version of versions) {
    it(`s_client's close_notify ends our server's stream: ${version}`, async () => {
      const args = [versionArgument(version), '-quiet', '-no_ign_eof'];
      await withClient({}, args, async ({ socket, client }) => {
        // With -no_ign_eof a letter at the start of what s_client reads is a command: Q, R, K.
        const data = Buffer.alloc(50_000, 'no command ');
        client.send(data);
        client.endInput();
        expect((await readAll(socket)).equals(data)).toBe(true);
        expect(socket).toMatchObject({ closeNotifyReceived: true });
        expect(await client.exit()).toBe(0);
      });
    });

    it(`s_server's close_notify ends our client's stream: ${version}`, async () => {
      const data = randomBytes(50_000);
      scratch.write('page', data);
      // A web server closes the connection behind its answer.
      const args = [versionArgument(version), '-WWW', ...credentials(scratch, ecdsaCertificate())];
      const { peer, port } = await sServer(1, scratch.directory, ...args);
      await using _ = peer;
      const client = connectTo(port, 'ktls');
      client.write('GET /page HTTP/1.0\r\n\r\n');
      const answer = await readAll(client);
      expect(answer.subarray(-data.length).equals(data)).toBe(true);
      expect(client).toMatchObject({ closeNotifyReceived: true });
      expect(await peer.exit()).toBe(0);
    });

    it(`a killed s_client ends our server's stream without a close_notify: ${version}`, async () => {
      await withClient({}, [versionArgument(version), '-quiet'], async ({ socket, client }) => {
        await exchange(socket, client, 1000);
        client.kill();
        expect(await readAll(socket)).toHaveLength(0);
        expect(socket).toMatchObject({ closeNotifyReceived: false });
      });
    });
  }
});

describeKernel('a session resumed with openssl', () => {
  for (const version of versions) {
    it(`by s_client, from our server: ${version}`, async () => {
      const session = scratch.path(`session-${version}`);
      const { listener, port } = await listen('ktls', limitedTo(version));
      for (const [resumes, argument] of [
        [false, '-sess_out'],
        [true, '-sess_in'],
      ] as const) {
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        await using client = sClient(port, '-quiet', argument, session);
        const [socket] = await accepted;
        expect(socket.isSessionReused()).toBe(resumes);
        expect(isOffloaded(socket)).toBe(true);
        await exchange(socket, client, 20_000);
        await expectCleanEnd(socket, client);
        expect(existsSync(session)).toBe(true);
      }
      listener.close();
      await once(listener, 'close');
    });

    it(`by our client, from s_server: ${version}`, async () => {
      const args = [
        versionArgument(version),
        '-quiet',
        ...credentials(scratch, ecdsaCertificate()),
      ];
      const { peer, port } = await sServer(2, scratch.directory, ...args);
      await using _ = peer;
      // The session comes from node:tls: our client only has to resume it.
      const first = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
      const [session] = (await once(first, 'session')) as [Buffer];
      // From inside the event node:tls would send FIN without its close_notify.
      setImmediate(() => first.end());
      first.resume();
      await once(first, 'close');

      const client = connectTo(port, 'ktls', { session });
      await once(client, 'secureConnect');
      expect(client.isSessionReused()).toBe(true);
      expect(isOffloaded(client)).toBe(true);
      await exchange(client, peer, 20_000);
      await expectCleanEnd(client, peer);
    });
  }
});

describeKernel('a client that limits the length of fragments', () => {
  /** Linux 6.19. */
  const limited = kernelFeatures().maxPayload === 0;
  const carried = limited
    ? { offload: { offloaded: true, reason: null } }
    : { offload: { offloaded: false, reason: 'ERR_KTLS_FRAGMENT' } };

  for (const version of versions) {
    for (const length of ['512', '4096']) {
      it(`gets no longer ones: ${version}, ${length} bytes`, async () => {
        const { listener, port } = await listen('ktls');
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        const wire = await tap(port);
        const args = [versionArgument(version), '-quiet', '-maxfraglen', length];
        await using client = sClient(wire.port, ...args);
        const [socket] = await accepted;
        expect(socket).toMatchObject(carried);
        // It may be asked for less, and for more it is not to be had.
        expect((socket as tls.TLSSocket).setMaxSendFragment(16_384)).toBe(true);
        await exchange(socket, client, 20_000);
        socket.end();
        socket.resume();
        expect(await client.exit()).toBe(0);
        // With the largest explicit nonce and tag, and the type byte of TLS 1.3.
        const longest = Math.max(...recordLengths(wire.toClient));
        expect(longest).toBeGreaterThanOrEqual(Number(length));
        expect(longest).toBeLessThanOrEqual(Number(length) + 8 + 16 + 1);
        await wire.close();
        listener.close();
        await once(listener, 'close');
      });
    }

    it(`is offloaded or refused where that is required: ${version}`, async () => {
      const { listener, port } = await listen('ktls', { mode: 'require' });
      const told = once(listener, limited ? 'secureConnection' : 'tlsClientError');
      await using client = sClient(port, versionArgument(version), '-quiet', '-maxfraglen', '512');
      const [outcome] = (await told) as [AnySocket | Error];
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'ERR_KTLS_FRAGMENT' });
      else outcome.end();
      await client.exit();
      expect(client.output).toHaveLength(0);
      listener.close();
      await once(listener, 'close');
    });
  }

  it('is seen when it resumes a session, and after a HelloRetryRequest', async () => {
    const session = scratch.path('session-limited');
    const { listener, port } = await listen('ktls', { ecdhCurve: 'P-384' });
    const limit = ['-quiet', '-curves', 'P-256:P-384', '-maxfraglen', '1024'];
    for (const argument of ['-sess_out', '-sess_in']) {
      const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
      await using client = sClient(port, ...limit, argument, session);
      const [socket] = await accepted;
      expect(socket.isSessionReused()).toBe(argument === '-sess_in');
      expect(socket).toMatchObject(carried);
      await exchange(socket, client, 5000);
      socket.end();
      socket.resume();
      await client.exit();
    }
    listener.close();
    await once(listener, 'close');
  });
});

describeKernel('a client certificate of 4096 bits', () => {
  let shown: Certificate;
  // A prime of 2048 bits may take an emulated machine minutes.
  beforeAll(() => void (shown = clientCertificate(4096)), 240_000);

  for (const version of versions) {
    it(`of s_client, at our server: ${version}`, async () => {
      const options = { requestCert: true, rejectUnauthorized: true, ca: shown.cert };
      const args = [versionArgument(version), '-quiet', ...credentials(scratch, shown)];
      await withClient(options, args, async ({ socket, client }) => {
        expect(isOffloaded(socket)).toBe(true);
        expect(socket.authorized).toBe(true);
        expect(socket.getPeerCertificate()).toMatchObject({
          subject: { CN: 'client' },
          bits: 4096,
        });
        await exchange(socket, client, 20_000);
        await expectCleanEnd(socket, client);
      });
    });

    it(`of our client, at s_server: ${version}`, async () => {
      const { peer, port } = await sServer(
        1,
        scratch.directory,
        ...[versionArgument(version), '-quiet', '-Verify', '1', '-verify_quiet'],
        ...trusting(shown),
        ...credentials(scratch, ecdsaCertificate()),
      );
      await using _ = peer;
      const client = connectTo(port, 'ktls', shown);
      await once(client, 'secureConnect');
      expect(isOffloaded(client)).toBe(true);
      await exchange(client, peer, 20_000);
      await expectCleanEnd(client, peer);
    });
  }
});

// node:tls would renegotiate. To decline is allowed (RFC 5246 section 7.4.1.1), but OpenSSL's two sides
// take the refusal for fatal, and say so with an alert.
describeKernel('renegotiation is declined', () => {
  async function expectDeclined(socket: AnySocket, peer: OpensslPeer, command: string) {
    peer.send('12345678');
    expect((await readExactly(socket, 8)).toString()).toBe('12345678');
    const failed = once(socket, 'error') as Promise<[Error]>;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    peer.send(command);
    expect((await failed)[0]).toMatchObject({
      library: 'SSL routines',
      code: expect.stringMatching(/_ALERT_HANDSHAKE_FAILURE$/) as string,
    });
    await closed;
    await peer.exit();
    expect(peer.errors).toContain('no renegotiation');
  }

  it('when s_client asks for it', async () => {
    await withClient({}, ['-tls1_2'], async ({ socket, client }) => {
      await expectDeclined(socket, client, 'R\n');
    });
  });

  it('when s_server asks for it', async () => {
    const args = ['-tls1_2', ...credentials(scratch, ecdsaCertificate())];
    const { peer, port } = await sServer(1, scratch.directory, ...args);
    await using _ = peer;
    const client = connectTo(port, 'ktls');
    await once(client, 'secureConnect');
    await expectDeclined(client, peer, 'r\n');
  });
});

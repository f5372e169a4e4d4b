/**
 * What docs/security.md says is wiped has gone: the memory of a process that has a connection under kernel
 * TLS, or had one, is searched for the secrets in the key log of its peer, which is another process.
 *
 * OpenSSL frees memory that it has not cleared, which is not ours to do: glibc overwrites what is freed here
 * (`perturb`; `tcache_count`, since a thread's cache is left out). A Buffer that nobody wiped would be
 * overwritten as well, once it is collected; one that was let go of before everything else shows that none was.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';
import { expect, it, vi } from 'vitest';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type ConnectionSecrets, connectionSecrets } from '../support/connection-secrets.js';
import { connectPair } from '../support/connection.js';
import { fault, withFaults } from '../support/faults.js';
import { describeKernel } from '../support/kernel.js';
import { searchMemory } from '../support/memory.js';
import { type Running, scriptTimeout, startScript } from '../support/script.js';
import { type Role, type Version, versions } from '../support/scripted.js';
import { type Wire, tap } from '../support/wire.js';

vi.setConfig(scriptTimeout);

const AES256 = 52;
const ciphers: Readonly<Record<Version, string>> = {
  'TLSv1.2': 'ECDHE-ECDSA-AES256-GCM-SHA384',
  'TLSv1.3': 'TLS_AES_256_GCM_SHA384',
};

/** It has a formula, so that the script need not be given it. */
const letGo = Buffer.from(Array.from({ length: 32 }, (_, index) => (index * 37 + 11) % 256));

const beginning = `
  const { role, version, ciphers } = given;
  const options = { minVersion: version, maxVersion: version, ciphers };
  let letGo = new Uint8Array(new ArrayBuffer(32));
  for (let i = 0; i < letGo.length; i++) letGo[i] = (i * 37 + 11) % 256;
  letGo = null;
  const lines = readline.createInterface(process.stdin)[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  // A client's TLS object is freed by the loop's next turns.
  const gone = async (socket) => {
    if (!socket.closed) await once(socket, 'close');
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  };
`;

const living = `${beginning}
  const { subscribe } = await import('node:diagnostics_channel');
  const accepting = async () => {
    const listener = server(options);
    say('port', await listening(listener));
    const [socket] = await once(listener, 'secureConnection');
    listener.close();
    return socket;
  };
  const socket = role === 'server' ? await accepting() : connect(Number(await next()), options);
  // Behind the session tickets.
  await once(socket, 'data');
  say('open', socket.offload.offloaded);
  if ((await next()) === 'update') {
    socket.resume();
    const changed = new Promise((resolve) => {
      subscribe('ktls:rekey', ({ direction }) => direction === 'rx' && resolve());
    });
    await socket.updateKeys({ requestPeer: true });
    say('asked');
    await changed;
    say('updated');
    await next();
  }
  socket.destroy();
  await gone(socket);
  say('closed');
  await next();
`;

const dying = `${beginning}
  const listener = server(options);
  const failed = once(listener, 'tlsClientError');
  // Not to fail the questions that the kernel is asked once.
  ktls.probe();
  process.env.KTLS_FAULT = given.fault;
  say('port', await listening(listener));
  const [error, socket] = await failed;
  listener.close();
  await gone(socket);
  say('closed', error.code);
  await next();
`;

class Scene implements AsyncDisposable {
  readonly script: Running;
  readonly #version: Version;
  readonly #lines: Buffer[] = [];
  #wire: Wire | null = null;
  #peer: tls.TLSSocket | null = null;

  constructor(body: string, role: Role, version: Version, failing?: string) {
    this.#version = version;
    this.script = startScript(body, {
      given: { role, version, ciphers: ciphers[version], fault: failing },
      // Room for all that is allocated, and no collection of an idle process: nothing is collected.
      nodeArguments: [
        ...['--min-semi-space-size=16', '--max-semi-space-size=16'],
        '--no-memory-reducer',
      ],
      env: {
        GLIBC_TUNABLES: 'glibc.malloc.tcache_count=0:glibc.malloc.perturb=165',
        ...(failing === undefined ? {} : withFaults()),
      },
    });
  }

  /** The peer is node:tls. */
  async connect(role: Role): Promise<void> {
    const { script } = this;
    const limits = { minVersion: this.#version, maxVersion: this.#version };
    const keylog = (line: Buffer): void => void this.#lines.push(line);
    if (role === 'server') {
      this.#wire = await tap(Number(await script.said('port')));
      const { port } = this.#wire;
      const client = tls.connect({ ...limits, port, rejectUnauthorized: false });
      client.on('keylog', keylog);
      this.#peer = client;
      client.on('error', () => undefined);
      await once(client, 'secureConnect');
    } else {
      const listener = tls.createServer({ ...ecdsaCertificate(), ...limits });
      listener.on('keylog', keylog);
      listener.listen(0, '127.0.0.1');
      await once(listener, 'listening');
      this.#wire = await tap((listener.address() as AddressInfo).port);
      script.tell(String(this.#wire.port));
      [this.#peer] = (await once(listener, 'secureConnection')) as [tls.TLSSocket];
      this.#peer.on('error', () => undefined);
      listener.close();
    }
    this.send();
  }

  send(): void {
    this.#peer!.write('x');
  }

  get secrets(): ConnectionSecrets {
    return connectionSecrets(this.#version, ciphers[this.#version], this.#lines, this.#wire!);
  }

  /** What is found of all secrets, each once. */
  found(): string[] {
    const { traffic, exporter, keys, ivs, forKernel } = this.secrets;
    const raw = { ...traffic, ...exporter, ...keys, ...ivs, ...forKernel };
    const digits = Object.entries({ ...traffic, ...exporter }).map(
      ([name, secret]) => [`digits of ${name}`, Buffer.from(secret.toString('hex'))] as const,
    );
    const needles = { letGo, ...raw, ...Object.fromEntries(digits) };
    const { pid } = this.script.process;
    return [...new Set(searchMemory(pid!, needles).map(({ name }) => name))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.script.finish();
    this.#peer?.destroy();
    await this.#wire?.close();
  }
}

/**
 * Whether node:tls puts each session into another Buffer, with the server's name (Node 22.23, 24.22, 26), and leaves the
 * first one as it was. A session of TLS 1.2 has the master secret in it.
 */
async function sessionsAreCopied(): Promise<boolean> {
  await using pair = await connectPair({ server: 'node', client: 'node' });
  return pair.client.getSession()!.includes('nodejs:tls:session');
}

const names = (...secrets: object[]): string[] => secrets.flatMap((each) => Object.keys(each));

describeKernel('in the memory of a process', () => {
  for (const version of versions) {
    it(`a server's connection leaves what it still needs, and nothing when it is closed (${version})`, async () => {
      await using scene = new Scene(living, 'server', version);
      const { script } = scene;
      await scene.connect('server');
      expect(await script.said('open')).toBe('true');
      const { traffic, exporter } = scene.secrets;
      const rekeys = version === 'TLSv1.3' && kernelRekeys(AES256);
      const kept = names(exporter, rekeys ? traffic : {});
      expect(scene.found().sort()).toEqual(['letGo', ...kept].sort());
      if (rekeys) {
        script.tell('update');
        await script.said('asked');
        // OpenSSL's KeyUpdate goes out in front of what is written next.
        scene.send();
        await script.said('updated');
        expect(scene.found().sort()).toEqual(['letGo', ...names(exporter)].sort());
      }
      script.tell('close');
      await script.said('closed');
      expect(scene.found()).toEqual(['letGo']);
    });

    it(`a client's leaves what OpenSSL has, and nothing when it is closed (${version})`, async () => {
      await using scene = new Scene(living, 'client', version);
      const { script } = scene;
      await scene.connect('client');
      expect(await script.said('open')).toBe('true');
      const { traffic, exporter, keys, ivs } = scene.secrets;
      const found = scene.found();
      expect(found).toEqual(expect.arrayContaining(['letGo', ...names(traffic, exporter)]));
      const ofOpenSsl = names(traffic, exporter, keys, ivs);
      expect(found.filter((name) => !ofOpenSsl.includes(name))).toEqual(['letGo']);
      script.tell('close');
      await script.said('closed');
      const copied = version === 'TLSv1.2' && (await sessionsAreCopied()) ? names(traffic) : [];
      expect(scene.found().filter((name) => !copied.includes(name))).toEqual(['letGo']);
    });
  }

  it('a connection that dies at the commit point leaves nothing', async () => {
    await using scene = new Scene(dying, 'server', 'TLSv1.3', fault('rx', 'ENOMEM'));
    await scene.connect('server');
    expect(await scene.script.said('closed')).toBe('ERR_KTLS_INSTALL');
    expect(scene.found()).toEqual(['letGo']);
  });
});

/**
 * KeyUpdates between us and the `openssl` command, both ways, while data moves both ways.
 *
 * `KTLS_KEY_UPDATE_MIB` says how much of it: a few MiB are enough to be in the middle of, and under
 * emulation each takes a second.
 */
import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, on, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RekeyMessage } from '../../lib/diagnostics.js';
import type { OffloadedSocket } from '../../lib/index.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { KernelCipher } from '../../lib/tls/cipher-suites.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { connectTo, digest, isOffloaded, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { type OpensslPeer, credentials, sClient, sServer } from '../support/openssl.js';
import { Scratch } from '../support/scratch.js';
import { type Wire, tap } from '../support/wire.js';
import { Witness } from '../support/witness.js';

const total = Number(process.env['KTLS_KEY_UPDATE_MIB'] ?? 6) * 1024 * 1024;

const scratch = new Scratch();
const socketsBefore = openSockets();
afterAll(async () => {
  scratch.remove();
  await onlyOpen(socketsBefore);
});

interface Connection extends AsyncDisposable {
  /** Ours. */
  socket: OffloadedSocket;
  peer: OpensslPeer;
}

/** Where the side that connects finds the other: its own port, or that of something in between. */
type Via = (port: number) => Promise<number>;
const directly: Via = (port) => Promise.resolve(port);

/** Our server and `s_client`. A letter at the start of what it reads from its stdin is a command. */
async function withClient(via: Via): Promise<Connection> {
  const { listener, port } = await listen('ktls');
  const accepted = once(listener, 'secureConnection') as Promise<[OffloadedSocket]>;
  const peer = sClient(await via(port), '-tls1_3', '-quiet', '-no_ign_eof');
  const [socket] = await accepted;
  return {
    ...{ socket, peer },
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await peer[Symbol.asyncDispose]();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Our client and `s_server`, which takes commands only where it may print other things than data. */
async function withServer(via: Via): Promise<Connection> {
  const args = ['-tls1_3', ...credentials(scratch, ecdsaCertificate())];
  const { peer, port } = await sServer(1, scratch.directory, ...args);
  const socket = connectTo(await via(port), 'ktls') as OffloadedSocket;
  await once(socket, 'secureConnect');
  return {
    ...{ socket, peer },
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await peer[Symbol.asyncDispose]();
    },
  };
}

const roles = [
  ['s_client', withClient],
  ['s_server', withServer],
] as const;

const randomDigits = (length: number): Buffer => {
  const bytes = randomBytes(length);
  for (let i = 0; i < length; i++) bytes[i] = 0x30 | (bytes[i]! & 7);
  return bytes;
};

/** The changes of our sockets' keys, as events: `'tx peer'`, `'rx peer'`, `'tx application'`. */
const keys = new EventEmitter();
const note = (message: unknown): void => {
  const { direction, cause } = message as RekeyMessage;
  keys.emit('change', `${direction} ${cause}`);
};

async function changed(wanted: string): Promise<void> {
  for await (const [change] of on(keys, 'change')) if (change === wanted) return;
}

/** `openssl`'s command for a KeyUpdate that wants one back, and for one that does not; or our own. */
type Step = 'K' | 'k' | { requestPeer: boolean };
const steps: Step[] = ['K', 'k', { requestPeer: false }, { requestPeer: true }, 'K'];

describeKernel('KeyUpdates with openssl', () => {
  const follows = kernelRekeys(KernelCipher.aesGcm256);
  beforeAll(() => subscribe('ktls:rekey', note));
  afterAll(() => void unsubscribe('ktls:rekey', note));

  for (const [name, connect] of roles) {
    if (follows)
      it(`change keys in the middle of a transfer, both ways (${name})`, async () => {
        const changes: string[] = [];
        keys.on('change', (change: string) => changes.push(change));
        await using connection = await connect(directly);
        const { socket, peer } = connection;
        expect(isOffloaded(socket)).toBe(true);
        const witness = new Witness(socket);
        const marker = '<the data begins>';
        socket.write(marker);
        const part = Math.ceil(total / (steps.length + 1));
        const down: Buffer[] = [];
        const up: Buffer[] = [];
        for (const step of [...steps, null]) {
          down.push(randomDigits(part));
          up.push(randomDigits(part));
          socket.write(down.at(-1)!);
          peer.send(up.at(-1)!);
          // What stands in front of a command makes it data.
          await witness.received(part * up.length);
          if (typeof step === 'string') {
            const followed = changed('rx peer');
            peer.send(`${step}\n`);
            await followed;
          } else if (step !== null) {
            await socket.updateKeys(step);
          }
        }
        await peer.until(() => peer.received >= part * down.length + marker.length);
        expect(digest(Buffer.from(witness.data, 'latin1'))).toBe(digest(Buffer.concat(up)));
        socket.end();
        await witness.until('close');
        expect(await peer.exit()).toBe(0);
        const [, received = ''] = peer.output.toString('latin1').split(marker);
        // s_server's own remarks are lines.
        const data = received.replaceAll(/[A-Z].*\n/g, '').slice(0, part * down.length);
        expect(digest(Buffer.from(data, 'latin1'))).toBe(digest(Buffer.concat(down)));
        const times = (wanted: string) => changes.filter((change) => change === wanted).length;
        // Its answer to ours is one of them.
        expect(times('rx peer')).toBe(4);
        expect(times('tx peer')).toBe(2);
        expect(times('tx application')).toBe(2);
        keys.removeAllListeners();
      });

    for (const command of follows ? [] : ['K', 'k']) {
      it(`is refused with its own error, behind all data (${name}, ${command})`, async () => {
        const wires: Wire[] = [];
        await using connection = await connect(async (port) => {
          wires.push(await tap(port));
          return wires[0]!.port;
        });
        const { socket, peer } = connection;
        const [wire] = wires as [Wire];
        socket.pause();
        const data = randomDigits(400_000);
        peer.send(data);
        const taken = () =>
          [...(name === 's_client' ? wire.toServer : wire.toClient)].reduce(
            (sum, { length }) => sum + length,
            0,
          );
        while (taken() < data.length) await delay(20);
        peer.send(`${command}\n`);
        const records = taken();
        while (taken() === records) await delay(20);
        const witness = new Witness(socket);
        socket.resume();
        expect(await witness.until('close')).toEqual([data.toString(), 'error', 'close']);
        expect(witness.error).toMatchObject({ code: 'ERR_KTLS_KEY_UPDATE' });
        await peer.exit();
        await wire.close();
      });
    }
  }
});

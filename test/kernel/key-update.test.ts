/**
 * KeyUpdate in both directions, on kernels that can (Linux 6.14 and later), and its end on others.
 *
 * `KTLS_KEY_UPDATE_MIB` says how much data moves each way while keys change: under emulation a MiB takes
 * a second.
 */
import { createHash, randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { OffloadedSocket } from '../../lib/index.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { cipherSuites } from '../../lib/tls/cipher-suites.js';
import { HandshakeType, ProtocolVersion, maxPlaintextLength } from '../../lib/tls/constants.js';
import {
  type AnySocket,
  type Pair,
  connectPair,
  digest,
  isOffloaded,
  readAll,
  readExactly,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { followUpdates, isKeyUpdate, update } from '../support/key-updates.js';
import { fdOf } from '../support/native.js';
import { data, handshake, keyUpdate, message, newSessionTicket } from '../support/record-peer.js';
import { roles, scripted } from '../support/scripted.js';
import { narrow, setTcpBuffers } from '../support/tcp-buffers.js';
import { TcpEnd } from '../support/tcp-state.js';
import { Witness } from '../support/witness.js';

const AES128 = 51;
const suites = cipherSuites.filter(({ version }) => version === ProtocolVersion.TLS13);
const total = Number(process.env['KTLS_KEY_UPDATE_MIB'] ?? 2) * 1024 * 1024;

/**
 * Writes, past the socket itself, until the kernel takes not a byte more: after a large write there may be
 * room left for a small record, of which nobody is told. The peer must not read.
 *
 * @returns the bytes written
 */
async function fill(socket: AnySocket): Promise<number> {
  const end = new TcpEnd(socket);
  for (let written = 0; ;) {
    const full = await end.isFull();
    let taken = 0;
    for (const size of [maxPlaintextLength, 1]) {
      taken += writeUntilRefused(fdOf(socket), Buffer.alloc(size));
    }
    if (full && taken === 0) return written;
    written += taken;
    await sleep(1);
  }
}

function writeUntilRefused(fd: number, chunk: Buffer): number {
  for (let written = 0; ;) {
    try {
      written += writeSync(fd, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      return written;
    }
  }
}

/** Mainline since 6.14, and this test's kernels bring no such change back to older ones. */
const mainlineRekeys = (): boolean => {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 14);
};

describeKernel('KeyUpdate', () => {
  it('is not for TLS 1.2', async () => {
    await using pair = await connectPair({ clientOptions: { maxVersion: 'TLSv1.2' } });
    expect(isOffloaded(pair.client)).toBe(true);
    await expect((pair.client as OffloadedSocket).updateKeys()).rejects.toMatchObject({
      code: 'ERR_KTLS_NO_REKEY',
    });
  });

  it('is found where the kernel has it, for every suite of TLS 1.3', () => {
    for (const { kernelCipher } of suites)
      expect(kernelRekeys(kernelCipher)).toBe(mainlineRekeys());
  });

  if (!kernelRekeys(AES128)) {
    it('cannot be on this kernel: updateKeys says so and harms nothing', async () => {
      await using pair = await connectPair();
      const client = pair.client as OffloadedSocket;
      await expect(client.updateKeys()).rejects.toMatchObject({ code: 'ERR_KTLS_NO_REKEY' });
      client.write('still here');
      expect((await readExactly(pair.server, 10)).toString()).toBe('still here');
    });
  } else {
    for (const role of roles) {
      it(`from the peer is followed, between any two records (${role})`, async () => {
        await using scene = await scripted(role, 'TLSv1.3');
        const witness = new Witness(scene.socket);
        let expected = '';
        for (let i = 0; i < 20; i++) {
          scene.peer.send(data(`before ${i} `));
          update(scene.peer, false);
          scene.peer.send(data(`after ${i} `));
          expected += `before ${i} after ${i} `;
        }
        expect(await witness.received(expected.length)).toBe(expected);
      });

      it(`that wants an answer gets one, and what follows is under the new key (${role})`, async () => {
        await using scene = await scripted(role, 'TLSv1.3');
        const { peer, socket } = scene;
        new Witness(socket);
        const seen = followUpdates(peer);
        socket.write('old key');
        await peer.until(() => peer.receivedLength === 7);
        update(peer, true);
        await peer.until(() => seen.count === 1);
        socket.write(' new key');
        await peer.until(() => peer.receivedLength === 15);
        expect(peer.receivedData.toString()).toBe('old key new key');
      });

      it(`of our own, by updateKeys (${role})`, async () => {
        await using scene = await scripted(role, 'TLSv1.3');
        const { peer } = scene;
        const socket = scene.socket as OffloadedSocket;
        const seen = followUpdates(peer);
        socket.write('a');
        await socket.updateKeys();
        socket.write('b');
        await socket.updateKeys({ requestPeer: true });
        socket.end('c');
        await peer.untilEnded();
        expect(seen.count).toBe(2);
        expect(peer.receivedData.toString()).toBe('abc');
        const updates = peer.received.filter(isKeyUpdate);
        expect(updates.map(({ payload }) => payload.at(-1))).toEqual([0, 1]);
        expect(peer.receivedAlerts).toEqual([[1, 0]]);
      });
    }

    for (const role of roles) {
      const title = `of both sides, while ${total >> 20} MiB move each way, loses nothing (${role})`;
      it(title, { timeout: 1_800_000 }, async () => {
        await using scene = await scripted(role, 'TLSv1.3');
        const { peer } = scene;
        const socket = scene.socket as OffloadedSocket;
        const seen = followUpdates(peer);
        const body = randomBytes(total);
        const received = createHash('sha256');
        let length = 0;
        socket.on('data', (chunk: Buffer) => {
          received.update(chunk);
          length += chunk.length;
        });

        const UPDATES = 16;
        const between = Math.floor(total / maxPlaintextLength / UPDATES);
        // A turn of the event loop each, in which the others get on too.
        const theirs = async (): Promise<void> => {
          for (let i = 0; i * maxPlaintextLength < total; i++) {
            peer.send(data(body.subarray(i * maxPlaintextLength, (i + 1) * maxPlaintextLength)));
            if (i % between === 0) update(peer, i % (2 * between) === 0);
            if (peer.socket.writableNeedDrain) await once(peer.socket, 'drain');
            await new Promise(setImmediate);
          }
        };
        const own = async (): Promise<void> => {
          for (let i = 0; i * maxPlaintextLength < total; i++) {
            const chunk = body.subarray(i * maxPlaintextLength, (i + 1) * maxPlaintextLength);
            if (!socket.write(chunk)) await once(socket, 'drain');
            if (i % between === 1) await socket.updateKeys();
            await new Promise(setImmediate);
          }
        };
        await Promise.all([theirs(), own()]);
        while (length < total) await once(socket, 'data');
        socket.end();
        await peer.untilEnded();
        expect(length).toBe(total);
        expect(received.digest('hex')).toBe(digest(body));
        expect(digest(peer.receivedData)).toBe(digest(body));
        // Our own, and answers: one may do for several requests.
        expect(seen.count).toBeGreaterThan(UPDATES);
      });
    }

    it('behind a ticket in the same record is followed', async () => {
      await using scene = await scripted('client', 'TLSv1.3');
      const witness = new Witness(scene.socket);
      update(scene.peer, false, newSessionTicket());
      scene.peer.send(data('after'));
      expect(await witness.received(5)).toBe('after');
    });

    it('in two records is followed, wherever it is divided', async () => {
      await using scene = await scripted('server', 'TLSv1.3');
      const { peer, socket } = scene;
      const witness = new Witness(socket);
      const whole = keyUpdate();
      for (let at = 1; at < whole.length; at++) {
        peer.send(data('.'), handshake(whole.subarray(0, at)), handshake(whole.subarray(at)));
        peer.updateSendKeys();
      }
      peer.send(data('done'));
      expect(await witness.received(8)).toBe('....done');
    });

    it('is not seen in a ticket of which a part begins like one', async () => {
      await using scene = await scripted('client', 'TLSv1.3');
      const client = scene.socket as OffloadedSocket;
      const witness = new Witness(client);
      let sessions = 0;
      client.on('session', () => sessions++);
      const ticket = newSessionTicket(100).fill(HandshakeType.keyUpdate, 20, 100);
      for (const at of [20, 21, 60, 99]) {
        scene.peer.send(
          data('.'),
          handshake(ticket.subarray(0, at)),
          handshake(ticket.subarray(at)),
        );
      }
      update(scene.peer, false, ticket.subarray(0, 50), ticket.subarray(50));
      scene.peer.send(data('done'));
      expect(await witness.received(8)).toBe('....done');
      while (sessions < 5) await once(client, 'session');
      expect(client.destroyed).toBe(false);
    });

    it('in a flood ends the connection, data in between or not', async () => {
      await using scene = await scripted('server', 'TLSv1.3');
      const witness = new Witness(scene.socket);
      scene.socket.resume();
      for (let i = 0; i < 400; i++) {
        scene.peer.send(data('x'));
        update(scene.peer, false);
      }
      await witness.until('close');
      expect(witness.error).toMatchObject({ code: 'ERR_KTLS_RECORD_FLOOD' });
    });

    it('is answered once while there is no room for the answer', async () => {
      const restore = setTcpBuffers(narrow);
      await using scene = await scripted('server', 'TLSv1.3');
      restore?.();
      const { peer, socket } = scene;
      const witness = new Witness(socket);
      const seen = followUpdates(peer);
      peer.socket.pause();
      const filled = await fill(socket);
      for (let i = 0; i < 5; i++) update(peer, true);
      peer.send(data('done'));
      await witness.received(4);
      const body = randomBytes(1024 * 1024);
      socket.write(body.subarray(0, 1000));
      socket.write(body.subarray(1000));
      peer.socket.resume();
      await peer.until(() => peer.receivedLength >= filled + body.length);
      expect(digest(peer.receivedData.subarray(filled))).toBe(digest(body));
      expect(seen.count).toBeGreaterThan(0);
      expect(seen.count).toBeLessThan(5);
    });

    it('comes by itself when a key has protected enough records', async () => {
      const messages: unknown[] = [];
      const listener = (published: unknown): void => {
        const { direction, cause } = published as { direction: string; cause: string };
        messages.push(`${direction} ${cause}`);
      };
      subscribe('ktls:rekey', listener);
      await using pair: Pair = await connectPair({
        client: 'node',
        serverOptions: { rekeyAfter: 8 },
      });
      const received = readAll(pair.client);
      const body = randomBytes(1024 * 1024);
      for (let at = 0; at < body.length; at += maxPlaintextLength) {
        // One by one: a rekey comes between writes.
        await new Promise((resolve) =>
          pair.server.write(body.subarray(at, at + maxPlaintextLength), resolve),
        );
      }
      pair.server.end();
      expect(digest(await received)).toBe(digest(body));
      unsubscribe('ktls:rekey', listener);
      expect(messages.filter((text) => text === 'tx limit').length).toBeGreaterThan(4);
    });

    for (const suite of suites) {
      it(`works with ${suite.name}`, async () => {
        await using scene = await scripted('server', 'TLSv1.3', {
          options: { ciphers: suite.name },
        });
        const { peer, socket } = scene;
        expect(socket.getCipher().name).toBe(suite.name);
        const witness = new Witness(socket);
        const seen = followUpdates(peer);
        for (let i = 1; i <= 3; i++) {
          update(peer, true);
          peer.send(data('ping'));
          await witness.received(4 * i);
          socket.write('pong');
          await peer.until(() => peer.receivedLength === 4 * i && seen.count === i);
        }
      });
    }

    it('with a request that nobody knows is refused', async () => {
      await using scene = await scripted('client', 'TLSv1.3');
      const witness = new Witness(scene.socket);
      scene.peer.send(handshake(message(HandshakeType.keyUpdate, Buffer.of(2))));
      await witness.until('close');
      expect(witness.error).toMatchObject({ code: 'ERR_KTLS_UNEXPECTED_RECORD' });
    });
  }
});

/**
 * The records of a file. Where the kernel can, keys change in the middle of it (RFC 8446 sections 4.6.3 and
 * 5.5) and it arrives whole; the limit of a key counts them; they are as small as `setMaxSendFragment` says.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { type OffloadedSocket, sendFile } from '../../lib/index.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import type { KernelPath } from '../../lib/socket/kernel-path.js';
import { cipherSuites } from '../../lib/tls/cipher-suites.js';
import { ContentType, ProtocolVersion, maxPlaintextLength } from '../../lib/tls/constants.js';
import { connectPair, digest, readAll } from '../support/connection.js';
import { request, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { followUpdates, isKeyUpdate, update } from '../support/key-updates.js';
import type { RecordPeer } from '../support/record-peer.js';
import { Scratch } from '../support/scratch.js';
import { type Scripted, roles, scripted, versions } from '../support/scripted.js';
import { limitTcpBuffers, narrow } from '../support/tcp-buffers.js';

const SIZE = 1024 * 1024;
/** What is sent between two looks at the keys. */
const CHUNK = 64 * 1024;
const AES128 = 51;
const suites = cipherSuites.filter(({ version }) => version === ProtocolVersion.TLS13);

/** Of a file whose size nobody knows, so that it is read and written: so many bytes. */
const SIZELESS = '/proc/kallsyms';
const PART = 400_000;

const scratch = new Scratch();
const content = randomBytes(SIZE);
const file = scratch.write('file', content);
afterAll(() => scratch.remove());

/** The lengths of the records of data under each key, in their order. */
function underEachKey(peer: RecordPeer): number[][] {
  const keys: number[][] = [[]];
  for (const record of peer.received) {
    if (isKeyUpdate(record)) keys.push([]);
    else if (record.type === ContentType.applicationData) keys.at(-1)!.push(record.payload.length);
  }
  return keys;
}

/** Waits for everything that is written before close_notify, and compares. */
async function arrives(peer: RecordPeer, expected: Buffer): Promise<void> {
  expect(await peer.untilEnded()).toBe('fin');
  expect(digest(peer.receivedData)).toBe(digest(expected));
  expect(peer.receivedAlerts).toEqual([[1, 0]]);
}

const around = (middle: Buffer): Buffer =>
  Buffer.concat([Buffer.from('before '), middle, Buffer.from(' behind')]);

/** Starts a file between two writes to a peer that does not read, and waits until it goes no further. */
async function stuck({ peer, socket }: Scripted): Promise<{ sent: Promise<number> }> {
  peer.socket.pause();
  socket.write('before ');
  const sent = (socket as OffloadedSocket).sendFile(file, { highWaterMark: CHUNK });
  socket.end(' behind');
  let written = -1;
  await expect
    .poll(() => written === (written = socket.bytesWritten) && written > 10, { interval: 50 })
    .toBe(true);
  expect(written).toBeLessThan(SIZE);
  return { sent };
}

/** Records that a key may protect before it is changed, and those of a chunk that is on its way by then. */
const LIMIT = 8;
const BEYOND = 1 + CHUNK / maxPlaintextLength;

describeKernel('the keys', () => {
  if (!kernelRekeys(AES128)) {
    it('go on where the kernel cannot change them, and the file too', async () => {
      await using scene = await scripted('server', 'TLSv1.3', { options: { rekeyAfter: LIMIT } });
      const sent = (scene.socket as OffloadedSocket).sendFile(file, { highWaterMark: CHUNK });
      scene.socket.end();
      await arrives(scene.peer, content);
      expect(await sent).toBe(SIZE);
      expect(underEachKey(scene.peer).length).toBe(1);
    });
    return;
  }

  for (const role of roles) {
    it(`change in the middle of a file when the peer asks for it (${role})`, async (context) => {
      limitTcpBuffers(context, narrow);
      await using scene = await scripted(role, 'TLSv1.3');
      const { peer } = scene;
      followUpdates(peer);
      const { sent } = await stuck(scene);
      update(peer, true);
      peer.socket.resume();
      await arrives(peer, around(content));
      expect(await sent).toBe(SIZE);
      expect(underEachKey(peer).map((records) => records.length > 1)).toEqual([true, true]);
    });

    it(`change in the middle of a file by updateKeys (${role})`, async (context) => {
      limitTcpBuffers(context, narrow);
      await using scene = await scripted(role, 'TLSv1.3');
      const { peer } = scene;
      followUpdates(peer);
      const { sent } = await stuck(scene);
      const updated = (scene.socket as OffloadedSocket).updateKeys({ requestPeer: true });
      peer.socket.resume();
      await updated;
      expect(scene.socket.bytesWritten).toBeLessThan(SIZE);
      await arrives(peer, around(content));
      expect(await sent).toBe(SIZE);
      expect(underEachKey(peer).map((records) => records.length > 1)).toEqual([true, true]);
    });
  }

  for (const { name } of suites) {
    it(`change in the middle of a file whenever they have protected enough records (${name})`, async () => {
      const options = { ciphers: name, rekeyAfter: LIMIT };
      await using scene = await scripted('server', 'TLSv1.3', { options });
      const { peer, socket } = scene;
      followUpdates(peer);
      socket.write('before ');
      const sent = (socket as OffloadedSocket).sendFile(file, { highWaterMark: CHUNK });
      socket.end(' behind');
      await arrives(peer, around(content));
      expect(await sent).toBe(SIZE);
      const keys = underEachKey(peer);
      expect(keys.length).toBeGreaterThan(SIZE / maxPlaintextLength / (LIMIT + BEYOND));
      for (const records of keys) expect(records.length).toBeLessThanOrEqual(LIMIT + BEYOND);
    });
  }

  it('change as often where the file is read and written', async () => {
    const expected = readFileSync(SIZELESS).subarray(0, PART);
    const options = { rekeyAfter: LIMIT };
    await using scene = await scripted('server', 'TLSv1.3', { options });
    followUpdates(scene.peer);
    const sent = (scene.socket as OffloadedSocket).sendFile(SIZELESS, { end: PART - 1 });
    scene.socket.end();
    await arrives(scene.peer, expected);
    expect(await sent).toBe(PART);
    const keys = underEachKey(scene.peer);
    for (const records of keys) expect(records.length).toBeLessThanOrEqual(LIMIT + BEYOND);
  });

  it('change while the last of a file is sent, with the end of its chunk behind it', async () => {
    let answering: Promise<unknown> | undefined;
    await using serving = await serve((_, response) => {
      const socket = response.socket as OffloadedSocket;
      const { dataPath: path } = socket as unknown as { dataPath: KernelPath };
      // All of it in one turn of the thread pool.
      const sent = sendFile(response, file, { end: PART - 1, highWaterMark: SIZE });
      void sent.then(() => response.end());
      answering = (async () => {
        while (!path.sendingElsewhere()) await nextTurn();
        await socket.updateKeys();
        expect(await sent).toBe(PART);
      })();
    });
    const { body } = await request(serving.port);
    expect(digest(body)).toBe(digest(content.subarray(0, PART)));
    await answering;
  });

  it('change all the time under a file that node:tls receives', async () => {
    await using pair = await connectPair({ client: 'node', serverOptions: { rekeyAfter: LIMIT } });
    const sent = (pair.server as OffloadedSocket).sendFile(file, { highWaterMark: CHUNK });
    pair.server.end();
    expect(digest(await readAll(pair.client))).toBe(digest(content));
    expect(await sent).toBe(SIZE);
  });
});

describeKernel('the records of a file', () => {
  const SMALL = 600;
  for (const version of versions) {
    it(`are no longer than setMaxSendFragment says, where the kernel can (${version})`, async () => {
      await using scene = await scripted('server', version);
      const socket = scene.socket as OffloadedSocket;
      const least = socket.setMaxSendFragment(SMALL) ? SMALL : maxPlaintextLength;
      const sent = socket.sendFile(file, { end: 299_999 });
      socket.end();
      await arrives(scene.peer, content.subarray(0, 300_000));
      expect(await sent).toBe(300_000);
      const [records] = underEachKey(scene.peer);
      expect(Math.max(...records!)).toBe(least);
    });

    it(`become shorter in its middle (${version})`, async (context) => {
      limitTcpBuffers(context, narrow);
      await using scene = await scripted('server', version);
      const { peer } = scene;
      const { sent } = await stuck(scene);
      const possible = (scene.socket as OffloadedSocket).setMaxSendFragment(SMALL);
      peer.socket.resume();
      await arrives(peer, around(content));
      expect(await sent).toBe(SIZE);
      const [records] = underEachKey(peer);
      const last = records!.slice(records!.length >> 1);
      expect(Math.max(...last)).toBe(possible ? SMALL : maxPlaintextLength);
    });
  }

  if (kernelRekeys(AES128)) {
    it('are counted as many as they are', async () => {
      const options = { rekeyAfter: 64 };
      await using scene = await scripted('server', 'TLSv1.3', { options });
      const { peer } = scene;
      const socket = scene.socket as OffloadedSocket;
      const most = socket.setMaxSendFragment(SMALL) ? SMALL : maxPlaintextLength;
      followUpdates(peer);
      const chunk = 4800;
      const sent = socket.sendFile(file, { end: 299_999, highWaterMark: chunk });
      socket.end();
      await arrives(peer, content.subarray(0, 300_000));
      expect(await sent).toBe(300_000);
      const keys = underEachKey(peer);
      const beyond = 1 + Math.ceil(chunk / most);
      for (const records of keys) expect(records.length).toBeLessThanOrEqual(64 + beyond);
    });
  }
});

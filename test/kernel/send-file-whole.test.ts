/**
 * Files arrive whole: every size around the records' edges, parts of them at random among random writes,
 * large ones, many at the same time, to readers of every kind, under each cipher. One that this kernel lacks
 * is node:tls's to send, and nothing changes for who receives.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import type { OffloadedSocket } from '../../lib/index.js';
import { cipherRefusal } from '../../lib/kernel/probe.js';
import { type CipherSuite, KernelCipher, cipherSuites } from '../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../lib/tls/constants.js';
import { type Pair, type Side, connectPair, digest, readExactly } from '../support/connection.js';
import { consume } from '../support/consume.js';
import { patternless } from '../support/content.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openFiles, openSockets } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { times, trials } from '../support/stress.js';
import { clientSuiteOptions, serverSuiteOptions } from '../support/suites.js';
import type { Random } from '../unit/tls/random.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SIZES = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, MIB];
/** The large ones take minutes. */
const large = process.env['KTLS_LARGE_FILES'] === '1';
const LONG = { timeout: 3_600_000 };

/** One for each cipher of the kernel in each version of TLS. */
const suites = cipherSuites.filter(
  ({ version, name }) => version === ProtocolVersion.TLS13 || name.startsWith('ECDHE-ECDSA'),
);
const usual = suites.filter(({ kernelCipher }) => kernelCipher === KernelCipher.aesGcm128);

const scratch = new Scratch();
afterAll(() => scratch.remove());
const content = patternless(MIB);
const file = scratch.write('file', content);

/** Our server. */
async function pair(suite: CipherSuite, client: Side = 'node'): Promise<Pair> {
  const connection = await connectPair({
    client,
    serverOptions: serverSuiteOptions(suite),
    clientOptions: clientSuiteOptions(suite),
  });
  const { offloaded } = ours(connection).offload;
  expect(offloaded).toBe(cipherRefusal(suite) === null);
  return connection;
}
const ours = ({ server }: Pair): OffloadedSocket => server as OffloadedSocket;

/** A file of 64 MiB of which no two MiB are alike. */
function writeLarge(): { path: string; sha256: string } {
  const path = scratch.path('large');
  const hash = createHash('sha256');
  const fd = openSync(path, 'w');
  for (let i = 0; i < 64; i++) {
    const piece = Buffer.from(content);
    piece.writeUInt32BE(i);
    hash.update(piece);
    writeSync(fd, piece);
  }
  closeSync(fd);
  return { path, sha256: hash.digest('hex') };
}

/** A file of 5 GiB that has something at the edges of what 31 and 32 bits can tell, and at its end. */
const ISLAND = 100;
const ISLANDS = [0, 2 * GIB - 50, 4 * GIB - 50, 5 * GIB];
const SPARSE = 5 * GIB + ISLAND;

function sparse(): string {
  const path = scratch.write('sparse', '');
  truncateSync(path, SPARSE);
  const fd = openSync(path, 'r+');
  for (const at of ISLANDS) writeSync(fd, content, 0, ISLAND, at);
  closeSync(fd);
  return path;
}

function digestOfSparse(): string {
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(MIB);
  let position = 0;
  for (const at of ISLANDS) {
    for (; position < at; position += Math.min(MIB, at - position)) {
      hash.update(zeros.subarray(0, at - position));
    }
    hash.update(content.subarray(0, ISLAND));
    position += ISLAND;
  }
  return hash.digest('hex');
}

/** All that arrives, which is more than is to be kept. */
async function digestOf({ client }: Pair): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of client) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Parts of the file and other data in turn; what they add up to. */
async function writeSomething(socket: OffloadedSocket, random: Random): Promise<string | null> {
  const hash = createHash('sha256');
  const sent: Promise<boolean>[] = [];
  const corked = random.below(4) === 0;
  if (corked) socket.cork();
  let total = 0;
  for (let left = 1 + random.below(24); left > 0; left--) {
    const start = random.below(MIB);
    const most = [50, 17_000, 130_000, MIB][random.below(4)]!;
    const end = Math.min(MIB, start + random.below(most)) - 1;
    const part = content.subarray(start, end + 1);
    hash.update(part);
    total += part.length;
    if (random.below(2) === 0) {
      socket.write(part);
    } else {
      const highWaterMark = [1000, 16_384, 65_537, MIB][random.below(4)]!;
      const range = part.length === 0 ? { start: MIB } : { start, end };
      sent.push(
        socket
          .sendFile(file, { ...range, highWaterMark: Math.max(highWaterMark, part.length >> 6) })
          .then((bytes) => bytes === part.length),
      );
    }
    if (!corked && random.below(4) === 0) await new Promise(setImmediate);
    if (!corked && random.below(6) === 0) await sent.at(-1);
  }
  if (corked) socket.uncork();
  await new Promise<void>((resolve) => socket.end(resolve));
  if (!(await Promise.all(sent)).every(Boolean)) throw new Error('another number of bytes');
  if (socket.bytesWritten !== total) throw new Error(`bytesWritten is ${socket.bytesWritten}`);
  return hash.digest('hex');
}

describeKernel('a file', () => {
  for (const suite of suites) {
    it(`of any size arrives whole (${suite.name})`, async () => {
      await using connection = await pair(suite);
      for (const size of SIZES) {
        const sent = ours(connection).sendFile(scratch.write('part', content.subarray(0, size)));
        const got = await readExactly(connection.client, size);
        expect(await sent).toBe(size);
        expect(digest(got)).toBe(digest(content.subarray(0, size)));
      }
    });
  }

  const count = times(2 * suites.length);
  it(`in parts, among writes, keeps its place (${count} times)`, LONG, async () => {
    await trials(count, 5, async (random, number) => {
      const suite = suites[number % suites.length]!;
      await using connection = await pair(suite, random.below(3) === 0 ? 'ktls' : 'node');
      const received = consume(connection.client, random);
      received.catch(() => undefined);
      const written = await writeSomething(ours(connection), random);
      return (await received) === written ? null : `${suite.name}: something else arrived`;
    });
  });

  let written: { path: string; sha256: string } | null = null;
  for (const suite of large ? suites : usual.slice(0, 1)) {
    it(`of 64 MiB arrives whole (${suite.name})`, LONG, async () => {
      const { path, sha256 } = (written ??= writeLarge());
      await using connection = await pair(suite);
      const sent = ours(connection).sendFile(path);
      ours(connection).end();
      expect(await digestOf(connection)).toBe(sha256);
      expect(await sent).toBe(64 * MIB);
      await expect.poll(() => openFiles(path)).toBe(0);
    });
  }

  it('beyond 2 and 4 GiB, and with holes, arrives as it is', async () => {
    const path = sparse();
    await using connection = await pair(usual[0]!);
    for (const at of ISLANDS) {
      const start = Math.max(0, at - 1000);
      const sent = ours(connection).sendFile(path, { start, end: at + ISLAND - 1 });
      const got = await readExactly(connection.client, at + ISLAND - start);
      expect(got.subarray(0, at - start).equals(Buffer.alloc(at - start))).toBe(true);
      expect(got.subarray(at - start).equals(content.subarray(0, ISLAND))).toBe(true);
      expect(await sent).toBe(got.length);
    }
    await expect.poll(() => openFiles(path)).toBe(0);
  });

  for (const suite of large ? usual : []) {
    it(`of 5 GiB with holes arrives whole (${suite.name})`, LONG, async () => {
      const path = sparse();
      await using connection = await pair(suite);
      const sent = ours(connection).sendFile(path);
      ours(connection).end();
      const received = await digestOf(connection);
      expect(await sent).toBe(SPARSE);
      expect(received).toBe(digestOfSparse());
      await expect.poll(() => openFiles(path)).toBe(0);
    });
  }

  it('goes over 200 connections at the same time, of each cipher some', LONG, async () => {
    const before = openSockets();
    const pairs: Pair[] = [];
    while (pairs.length < 200) {
      const next = [0, 1, 2, 3].map((i) => pair(suites[(pairs.length + i) % suites.length]!));
      pairs.push(...(await Promise.all(next)));
    }
    for (const { client } of pairs) client.pause();
    const length = 300_000;
    const sent = pairs.map((one, i) => {
      return ours(one).sendFile(file, { start: i * 100, end: i * 100 + length - 1 });
    });
    const got = await Promise.all(pairs.map(({ client }) => readExactly(client, length)));
    got.forEach((data, i) => {
      expect(digest(data)).toBe(digest(content.subarray(i * 100, i * 100 + length)));
    });
    expect(await Promise.all(sent)).toEqual(pairs.map(() => length));
    await Promise.all(pairs.map((one) => one.close()));
    await expect.poll(() => openFiles(file), { timeout: 30_000 }).toBe(0);
    await onlyOpen(before);
  });
});

/** The native layer against a kernel that has TLS: keys, records, counters, errors. */
import { type CipherGCMTypes, createDecipheriv } from 'node:crypto';
import { constants } from 'node:os';
import { setImmediate as immediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Direction, Ready } from '../../lib/kernel/binding.js';
import * as node from '../../lib/node-private.js';
import {
  AEADS,
  AES128,
  ALERT,
  DATA,
  HANDSHAKE,
  KernelPair,
  type Message,
  SEQUENCE,
  type Suite,
  TLS12,
  TLS13,
  VERSIONS,
  arrived,
  makeMaterial,
  receive,
} from '../support/kernel-pair.js';
import { describeKernel } from '../support/kernel.js';
import { Link, fdOf, native, runAlone } from '../support/native.js';

const {
  EAGAIN,
  EBADMSG,
  EBUSY,
  ECANCELED,
  EEXIST,
  EIO,
  EINVAL,
  EMSGSIZE,
  ENOENT,
  ENOPROTOOPT,
  EPERM,
} = constants.errno;

const probed = new Map<string, readonly number[]>();

/** Asked once for each: an absent algorithm costs the kernel a run of modprobe. */
function probe(version: number, cipher: number): readonly number[] {
  const key = `${version} ${cipher}`;
  let steps = probed.get(key);
  if (steps === undefined) probed.set(key, (steps = native().probe(version, cipher)));
  return steps;
}

/** One protected record opened with node:crypto: the independent judge of what the kernel made. */
function open(
  { version, aead }: Suite,
  material: Buffer,
  sequence: bigint,
  record: Buffer,
): Buffer {
  const key = material.subarray(0, aead.key);
  const salt = material.subarray(aead.key, aead.key + aead.salt);
  const iv = material.subarray(aead.key + aead.salt, aead.key + aead.salt + aead.iv);
  const counter = Buffer.alloc(SEQUENCE);
  counter.writeBigUInt64BE(sequence);
  const explicit = version === TLS12 && aead.iv === 8 ? 8 : 0;
  const body = record.subarray(5 + explicit, -16);
  let nonce: Buffer;
  let aad: Buffer;
  if (explicit > 0) {
    nonce = Buffer.concat([salt, record.subarray(5, 5 + explicit)]);
  } else {
    nonce = Buffer.concat([salt, iv]);
    for (let i = 0; i < SEQUENCE; i++) nonce[4 + i]! ^= counter[i]!;
  }
  if (version === TLS13) {
    aad = record.subarray(0, 5);
  } else {
    aad = Buffer.concat([counter, record.subarray(0, 3), Buffer.of(body.length >> 8, body.length)]);
  }
  // The types know GCM only by names; CCM and ChaCha take the same options.
  const decipher = createDecipheriv(aead.algorithm as CipherGCMTypes, key, nonce, {
    authTagLength: 16,
  });
  decipher.setAuthTag(record.subarray(-16));
  decipher.setAAD(aad, { plaintextLength: body.length });
  return Buffer.concat([decipher.update(body), decipher.final()]);
}

const suites = AEADS.flatMap((aead) =>
  VERSIONS.map(({ version, versionName }) => ({ aead, version, versionName, name: aead.name })),
);

describeKernel('the native layer under kernel TLS', () => {
  describe('probe', () => {
    test.each(VERSIONS)('finds AES-GCM with $versionName in both directions', ({ version }) => {
      expect(native().probe(version, 51)).toEqual([0, 0, 0, 0, 0]);
      expect(native().probe(version, 52)).toEqual([0, 0, 0, 0, 0]);
    });

    test.each(suites)('has a plain answer for $name with $versionName', ({ version, aead }) => {
      const [pair, ulp, ...keys] = probe(version, aead.cipher);
      expect([pair, ulp]).toEqual([0, 0]);
      for (const key of keys) expect([0, -EINVAL, -ENOENT, -ECANCELED]).toContain(key);
    });
  });

  describe.each(suites)('$name with $versionName', ({ version, aead }) => {
    const suite = { version, aead };
    // Which of them a kernel must take, the tests of probe say.
    if (probe(version, aead.cipher).some((step) => step !== 0)) {
      test('refuses the keys the way probe said', async () => {
        await using pair = await KernelPair.open(suite);
        const [, , tx] = probe(version, aead.cipher);
        expect(pair.install(pair.a, Direction.TX, makeMaterial(aead))).toBe(tx);
      });
      return;
    }

    test('carries data and control records in order', async () => {
      await using pair = await KernelPair.keyed(suite);
      expect(pair.a.write(Buffer.from('hello '), 0)).toBe(6);
      expect(pair.a.write(Buffer.from('world'), 0)).toBe(5);
      expect(pair.a.sendRecord(ALERT, Buffer.of(1, 0))).toBe(2);
      await arrived(pair.sockets[0]!);
      expect(await receive(pair.b)).toEqual({ type: DATA, payload: Buffer.from('hello world') });
      expect(await receive(pair.b)).toEqual({ type: ALERT, payload: Buffer.of(1, 0) });
    });

    test.skipIf(aead.algorithm === undefined)(
      'makes records that node:crypto opens with key, salt, iv and sequence as given',
      async () => {
        await using pair = await KernelPair.open(suite);
        const first = 0x0102030405060708n;
        const material = makeMaterial(aead, first);
        const copy = Buffer.from(material);
        expect(pair.install(pair.a, Direction.TX, material)).toBe(0);
        expect(material.every((byte) => byte === 0)).toBe(true);
        for (const [index, text] of ['one', 'two'].entries()) {
          pair.a.write(Buffer.from(text), 0);
          // b has no keys: it sees what is on the wire.
          const wire = (await receive(pair.b)) as Message;
          const inner = version === TLS13 ? Buffer.of(DATA) : Buffer.alloc(0);
          expect(open(suite, copy, first + BigInt(index), wire.payload)).toEqual(
            Buffer.concat([Buffer.from(text), inner]),
          );
        }
      },
    );

    test('tells the sequence number of the next record', async () => {
      await using pair = await KernelPair.keyed(suite, 41n);
      expect(pair.a.sendSequence(version, aead.cipher)).toBe(41n);
      pair.a.write(Buffer.from('x'), 0);
      pair.a.sendRecord(ALERT, Buffer.of(1, 0));
      expect(pair.a.sendSequence(version, aead.cipher)).toBe(43n);
    });
  });

  describe.each(VERSIONS)('$versionName', ({ version }) => {
    const suite = { version, aead: AES128 };

    test('a record type change ends a read, and a large target takes many records', async () => {
      await using pair = await KernelPair.keyed(suite);
      for (let i = 0; i < 5; i++) pair.a.write(Buffer.alloc(1000, i), 0);
      pair.a.sendRecord(HANDSHAKE, Buffer.of(0, 0, 0, 0));
      pair.a.write(Buffer.from('after'), 0);
      await arrived(pair.sockets[0]!);
      expect(await receive(pair.b)).toMatchObject({ type: DATA, payload: { length: 5000 } });
      expect(await receive(pair.b)).toMatchObject({ type: HANDSHAKE, payload: { length: 4 } });
      expect(await receive(pair.b)).toMatchObject({ type: DATA, payload: { length: 5 } });
    });

    test('a target too small for a control record gets the rest next, of the same type', async () => {
      await using pair = await KernelPair.keyed(suite);
      pair.a.sendRecord(HANDSHAKE, Buffer.from('abcdef'));
      expect(await receive(pair.b, 4)).toEqual({ type: HANDSHAKE, payload: Buffer.from('abcd') });
      expect(await receive(pair.b, 4)).toEqual({ type: HANDSHAKE, payload: Buffer.from('ef') });
    });

    test('the end of the stream is 0 with no other type than data', async () => {
      await using pair = await KernelPair.keyed(suite);
      pair.sockets[0]!.end();
      const end = (await receive(pair.b)) as Message;
      expect(end.payload).toHaveLength(0);
      expect([0, DATA]).toContain(end.type);
    });

    test('a damaged record is EBADMSG', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.install(pair.b, Direction.RX, makeMaterial(AES128))).toBe(0);
      pair.a.write(Buffer.from(`1703030030${'5a'.repeat(48)}`, 'hex'), 0);
      expect(await receive(pair.b)).toBe(-EBADMSG);
    });

    test('a record that is too long is EMSGSIZE', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.install(pair.b, Direction.RX, makeMaterial(AES128))).toBe(0);
      // With TLS 1.2 the kernel looks at the length only when the explicit nonce is there too.
      pair.a.write(Buffer.from(`1703035000${'5a'.repeat(48)}`, 'hex'), 0);
      expect(await receive(pair.b)).toBe(-EMSGSIZE);
    });

    test('a record of a wrong version is EINVAL', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.install(pair.b, Direction.RX, makeMaterial(AES128))).toBe(0);
      pair.a.write(Buffer.from(`1702030030${'5a'.repeat(48)}`, 'hex'), 0);
      expect(await receive(pair.b)).toBe(-EINVAL);
    });

    test('takeError lets a fatal alert out after a damaged record', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.install(pair.b, Direction.RX, makeMaterial(AES128))).toBe(0);
      expect(pair.install(pair.b, Direction.TX, makeMaterial(AES128))).toBe(0);
      pair.a.write(Buffer.from(`1703030030${'5a'.repeat(48)}`, 'hex'), 0);
      expect(await receive(pair.b)).toBe(-EBADMSG);
      pair.b.takeError();
      expect(pair.b.sendRecord(ALERT, Buffer.of(2, 20))).toBe(2);
      const wire = (await receive(pair.a)) as Message;
      expect(wire.payload[0]).toBe(version === TLS13 ? DATA : ALERT);
    });

    test('one direction at a time is legal, and the other stays plain', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.install(pair.a, Direction.TX, makeMaterial(AES128))).toBe(0);
      pair.b.write(Buffer.from('in clear'), 0);
      expect(await receive(pair.a)).toMatchObject({ payload: Buffer.from('in clear') });
    });

    test('keys twice are EBUSY, or a rekey where the kernel has it', async () => {
      await using pair = await KernelPair.keyed(suite);
      const again = pair.install(pair.a, Direction.TX, makeMaterial(AES128));
      expect(version === TLS12 ? [-EBUSY] : [-EBUSY, 0]).toContain(again);
    });

    test('the ULP twice is EEXIST', async () => {
      await using pair = await KernelPair.open(suite);
      expect(pair.a.attachUlp()).toBe(-EEXIST);
    });

    test('keys without the ULP are ENOPROTOOPT', async () => {
      await using link = await Link.open();
      const { key, salt, iv, cipher } = AES128;
      const material = new Uint8Array(key + salt + iv + SEQUENCE);
      expect(link.channel.installKeys(Direction.TX, version, cipher, material)).toBe(-ENOPROTOOPT);
    });

    test('bytesInTcp counts records with their overhead', async () => {
      await using pair = await KernelPair.keyed(suite);
      const overhead = version === TLS13 ? 5 + 1 + 16 : 5 + 8 + 16;
      const before = pair.a.bytesInTcp();
      pair.a.write(Buffer.alloc(100), 0);
      expect(pair.a.bytesInTcp() - before).toBe(100 + overhead);
      pair.a.write(Buffer.alloc(40_000), 0);
      expect(pair.a.bytesInTcp() - before).toBe(40_100 + 4 * overhead);
    });

    test('bytesInTcp shows when accepted records are not yet in TCP', async () => {
      await using pair = await KernelPair.keyed(suite);
      const overhead = version === TLS13 ? 5 + 1 + 16 : 5 + 8 + 16;
      const before = pair.a.bytesInTcp();
      const first = pair.a.sendSequence(version, 51) as bigint;
      let written = 0;
      for (let taken; (taken = pair.a.write(Buffer.alloc(50_000), 0)) > 0;) written += taken;
      const expected = (): number =>
        written + overhead * Number((pair.a.sendSequence(version, 51) as bigint) - first);
      expect(pair.a.bytesInTcp() - before).toBeLessThanOrEqual(expected());
      let read = 0;
      while (read < written) {
        const message = await receive(pair.b, 1 << 20);
        if (typeof message === 'number') throw new Error(`receive: ${message}`);
        read += message.payload.length;
      }
      expect(read).toBe(written);
      expect(pair.a.bytesInTcp() - before).toBe(expected());
    });
  });

  test('a plain read of a control record, which libuv does, fails with EIO and keeps it', async () => {
    await using pair = await KernelPair.keyed({ version: TLS13, aead: AES128 });
    pair.a.sendRecord(ALERT, Buffer.of(1, 0));
    await arrived(pair.sockets[0]!);
    // readRecord() is a plain recv(); nobody should call it under TLS.
    expect(pair.b.readRecord()).toBe(-EIO);
    expect(await receive(pair.b)).toEqual({ type: ALERT, payload: Buffer.of(1, 0) });
  });

  test('a turn of reading is over after so many records, whatever they are', async () => {
    await using pair = await KernelPair.keyed({ version: TLS13, aead: AES128 });
    for (let i = 0; i < 100; i++) pair.a.sendRecord(ALERT, Buffer.of(1, 90));
    await arrived(pair.sockets[0]!);
    const handle = node.handleOf(pair.sockets[1]!)!;
    node.claimReading(handle);
    let told: number[] = [];
    node.whileReading(handle, () =>
      pair.b.feedStream((result) => {
        told.push(result);
        return false;
      }, 0),
    );
    pair.b.startReading();
    expect(told).toEqual([]);
    const turns: number[][] = [];
    while (turns.length < 4) {
      await immediate();
      if (told.length > 0) turns.push(told);
      told = [];
    }
    const alert = ALERT * 0x1000000 + 2;
    const of = (records: number): number[] => Array.from({ length: records }, () => alert);
    expect(turns).toEqual([of(32), of(32), of(32), of(4)]);
  });

  test('readiness is told for records under TLS', async () => {
    const link = await Link.open();
    const material = makeMaterial(AES128);
    const sender = new (native().Channel)(fdOf(link.peer), () => undefined);
    expect([sender.attachUlp(), link.channel.attachUlp()]).toEqual([0, 0]);
    expect(link.channel.installKeys(Direction.RX, TLS13, 51, Buffer.from(material))).toBe(0);
    expect(sender.installKeys(Direction.TX, TLS13, 51, material)).toBe(0);
    for (let i = 0; i < 3; i++) {
      const heard = link.next(Ready.READ);
      sender.write(Buffer.from('x'), 0);
      await heard;
      expect(await receive(link.channel)).toMatchObject({ type: DATA, payload: { length: 1 } });
      expect(link.channel.receive(new Uint8Array(10), 0)).toBe(-EAGAIN);
    }
    sender.close();
    await link[Symbol.asyncDispose]();
  });

  describe('tlsMode', () => {
    const SOFTWARE = 2;
    const BASE = 1;
    // The kernel tells only CAP_NET_ADMIN before 6.15.
    const privileged = process.getuid?.() === 0;

    test.skipIf(!privileged).each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
      'says software for both directions over %s',
      async (host) => {
        await using pair = await KernelPair.open({ version: TLS13, aead: AES128 }, host);
        expect(pair.a.tlsMode()).toBe(BASE + 16 * BASE);
        expect(pair.install(pair.a, Direction.TX, makeMaterial(AES128))).toBe(0);
        expect(pair.a.tlsMode()).toBe(SOFTWARE + 16 * BASE);
        expect(pair.install(pair.a, Direction.RX, makeMaterial(AES128))).toBe(0);
        expect(pair.a.tlsMode()).toBe(SOFTWARE + 16 * SOFTWARE);
      },
    );

    test.skipIf(!privileged)(
      'is EPERM without CAP_NET_ADMIN on kernels that ask for it',
      async () => {
        const { stdout, stderr } = await runAlone(`
        const { fd, peer, socket } = await pair();
        const channel = new Channel(fd, () => {});
        const steps = [channel.attachUlp(), channel.installKeys(1, 0x0304, 51, Buffer.alloc(36))];
        process.seteuid(65534);
        console.log(...steps, channel.tlsMode());
        channel.close(); peer.destroy(); socket.destroy();
      `);
        expect(stderr).toBe('');
        const told = [-EPERM, SOFTWARE + 16 * BASE];
        expect(told.map((mode) => `0 0 ${mode}\n`)).toContain(stdout);
      },
    );
  });
});

/**
 * Cases of the kernel's own TLS selftests (docs/kernel-selftests.md) that the library stands on and that no
 * behaviour of its own shows by itself.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { type Channel, Direction } from '../../lib/kernel/binding.js';
import {
  AEADS,
  AES128,
  ALERT,
  DATA,
  HANDSHAKE,
  KernelPair,
  TLS12,
  TLS13,
  VERSIONS,
  makeMaterial,
  receive,
} from '../support/kernel-pair.js';
import { describeKernel } from '../support/kernel.js';
import { fdOf, native } from '../support/native.js';

const { EBADMSG, EBUSY, EINVAL, ENOTCONN } = constants.errno;

const data = (text: string): object => ({ type: DATA, payload: Buffer.from(text) });
const write = (channel: Channel, text: string): void => {
  expect(channel.write(Buffer.from(text), 0)).toBe(text.length);
};

describeKernel('the ULP', () => {
  test('is refused to a socket that is not connected', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const channel = new (native().Channel)(fd, () => undefined);
    expect(channel.attachUlp()).toBe(-ENOTCONN);
    channel.close();
    listener.close();
  });

  test('leaves a socket its addresses, over IPv6 too', async () => {
    await using pair = await KernelPair.open(
      { version: VERSIONS[0]!.version, aead: AES128 },
      '::1',
    );
    expect(pair.install(pair.a, Direction.TX, makeMaterial(AES128))).toBe(0);
    const [accepted, connected] = pair.sockets;
    expect(accepted!.address()).toMatchObject({ address: '::1', family: 'IPv6' });
    expect(accepted!.remotePort).toBe((connected!.address() as AddressInfo).port);
    expect(fdOf(accepted!)).toBeGreaterThan(0);
  });
});

describeKernel('records', () => {
  describe.each(VERSIONS)('of $versionName', ({ version }) => {
    const suite = { version, aead: AES128 };

    test('of control are not merged with one another', async () => {
      await using pair = await KernelPair.keyed(suite);
      for (const byte of [1, 2, 3]) {
        expect(pair.a.sendRecord(HANDSHAKE, Buffer.alloc(5, byte))).toBe(5);
      }
      for (const byte of [1, 2, 3]) {
        expect(await receive(pair.b)).toEqual({ type: HANDSHAKE, payload: Buffer.alloc(5, byte) });
      }
    });

    test('of control part the data around them', async () => {
      await using pair = await KernelPair.keyed(suite);
      write(pair.a, 'one');
      expect(pair.a.sendRecord(ALERT, Buffer.of(1, 90))).toBe(2);
      write(pair.a, 'two');
      expect(await receive(pair.b)).toEqual(data('one'));
      expect(await receive(pair.b)).toEqual({ type: ALERT, payload: Buffer.of(1, 90) });
      expect(await receive(pair.b)).toEqual(data('two'));
    });

    test('that came before the key are read with it', async () => {
      await using pair = await KernelPair.open(suite);
      const material = makeMaterial(AES128);
      const copy = Buffer.from(material);
      expect(pair.install(pair.a, Direction.TX, material)).toBe(0);
      write(pair.a, 'early');
      write(pair.a, 'bird');
      expect(pair.install(pair.b, Direction.RX, copy)).toBe(0);
      expect(await receive(pair.b)).toEqual(data('earlybird'));
    });

    test('are read in pieces smaller than they are', async () => {
      await using pair = await KernelPair.keyed(suite);
      write(pair.a, 'abcdefg');
      write(pair.a, 'hij');
      const pieces: string[] = [];
      for (let length = 0; length < 10;) {
        const piece = await receive(pair.b, 3);
        if (typeof piece === 'number') throw new Error(`receive: ${piece}`);
        length += piece.payload.length;
        pieces.push(piece.payload.toString());
      }
      expect(pieces.join('')).toBe('abcdefghij');
      expect(Math.max(...pieces.map((piece) => piece.length))).toBe(3);
    });

    test('go both ways at the same time, each with its own key', async () => {
      await using pair = await KernelPair.keyed(suite);
      const back = makeMaterial(AES128, 7n);
      expect(pair.install(pair.a, Direction.RX, Buffer.from(back))).toBe(0);
      expect(pair.install(pair.b, Direction.TX, back)).toBe(0);
      write(pair.a, 'to b');
      write(pair.b, 'to a');
      expect(await receive(pair.a)).toEqual(data('to a'));
      expect(await receive(pair.b)).toEqual(data('to b'));
    });

    test('do not change their version or cipher under way', async () => {
      await using pair = await KernelPair.keyed(suite);
      const others = [
        { version: version === TLS13 ? TLS12 : TLS13, aead: AES128 },
        { version, aead: AEADS[1]! },
      ];
      for (const { version: other, aead } of others) {
        const material = makeMaterial(aead);
        const result = pair.a.installKeys(Direction.TX, other, aead.cipher, material);
        expect([-EINVAL, -EBUSY]).toContain(result);
      }
      write(pair.a, 'as before');
      expect(await receive(pair.b)).toEqual(data('as before'));
    });

    test('before a damaged one are read, and it is an error then', async () => {
      await using pair = await KernelPair.open(suite);
      const material = makeMaterial(AES128);
      const copy = Buffer.from(material);
      expect(pair.install(pair.a, Direction.TX, material)).toBe(0);
      // b has no key yet: this is the wire.
      const wire: Buffer[] = [];
      for (const text of ['good', 'fine', 'evil']) {
        write(pair.a, text);
        const record = await receive(pair.b);
        if (typeof record === 'number') throw new Error(`receive: ${record}`);
        wire.push(record.payload);
      }
      wire[2]![wire[2]!.length - 1]! ^= 1;
      await using second = await KernelPair.open(suite);
      expect(second.install(second.b, Direction.RX, copy)).toBe(0);
      for (const record of wire) second.a.write(record, 0);
      expect(await receive(second.b)).toEqual(data('goodfine'));
      expect(await receive(second.b)).toBe(-EBADMSG);
    });
  });
});

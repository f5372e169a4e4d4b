import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { Ready } from '../../lib/kernel/binding.js';
import { Link } from '../support/native.js';

const { EAGAIN, EBADF, ECONNRESET } = constants.errno;

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const handshake = hex('16 0301 0004 01020304');
const alert = hex('15 0303 0002 0100');
const data = (size: number): Buffer => {
  const header = hex('17 0303 0000');
  header.writeUInt16BE(size, 3);
  return Buffer.concat([header, Buffer.alloc(size, 0xd7)]);
};

/** Reads until one record (or the end) is there. */
async function record(link: Link): Promise<Uint8Array | number> {
  for (;;) {
    const ready = link.next(Ready.READ);
    const result = link.channel.readRecord();
    if (result !== -EAGAIN) return result;
    await ready;
  }
}

describe('readRecord', () => {
  test('says EAGAIN while nothing has come', async () => {
    await using link = await Link.open();
    expect(link.channel.readRecord()).toBe(-EAGAIN);
  });

  test('returns one whole record with its header', async () => {
    await using link = await Link.open();
    await link.deliver(handshake);
    expect(link.channel.readRecord()).toEqual(handshake);
    expect(link.channel.readRecord()).toBe(-EAGAIN);
  });

  test.each([
    { name: 'a record without payload', bytes: hex('17 0303 0000') },
    { name: 'a record of 2^14 + 2048 bytes', bytes: data(16384 + 2048) },
    { name: 'change_cipher_spec, type 20', bytes: hex('14 0303 0001 01') },
    { name: 'heartbeat, type 24', bytes: hex('18 0303 0003 010000') },
    { name: 'any minor version', bytes: hex('16 03ff 0001 00') },
  ])('takes $name', async ({ bytes }) => {
    await using link = await Link.open();
    link.peer.write(bytes);
    // Not toEqual(): it takes long over 18 KiB.
    expect(bytes.equals((await record(link)) as Uint8Array)).toBe(true);
  });

  test('puts together a record that comes byte by byte', async () => {
    await using link = await Link.open();
    for (const byte of handshake.subarray(0, -1)) {
      await link.deliver(Uint8Array.of(byte));
      expect(link.channel.readRecord()).toBe(-EAGAIN);
    }
    await link.deliver(handshake.subarray(-1));
    expect(link.channel.readRecord()).toEqual(handshake);
  });

  test('reads a later record right after one that came in pieces', async () => {
    await using link = await Link.open();
    await link.deliver(handshake.subarray(0, 7));
    expect(link.channel.readRecord()).toBe(-EAGAIN);
    await link.deliver(Buffer.concat([handshake.subarray(7), alert]));
    expect(link.channel.readRecord()).toEqual(handshake);
    expect(link.channel.readRecord()).toEqual(alert);
  });

  test('leaves a second record of the same segment in the kernel', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.concat([handshake, alert]));
    expect(link.channel.readRecord()).toEqual(handshake);
    // What the channel did not take, another reader of the same socket finds whole.
    const target = new Uint8Array(64);
    expect(link.channel.receive(target, 0)).toBe(alert.length);
    expect(Buffer.from(target.subarray(0, alert.length))).toEqual(alert);
  });

  test('leaves the kernel the start of a record that has only begun to come', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.concat([handshake, alert.subarray(0, 3)]));
    expect(link.channel.readRecord()).toEqual(handshake);
    const target = new Uint8Array(64);
    expect(link.channel.receive(target, 0)).toBe(3);
  });

  test.each([
    { name: 'an HTTP request', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n') },
    { name: 'its first byte alone', bytes: Buffer.from('G') },
    { name: 'an SSLv2 hello', bytes: hex('80 2e 01 0002 0015') },
    { name: 'content type 19', bytes: hex('13 0303 0001 00') },
    { name: 'content type 25', bytes: hex('19 0303 0001 00') },
    { name: 'major version 2, with two bytes', bytes: hex('16 02') },
    { name: 'a length over 2^14 + 2048', bytes: hex('17 0303 4801 00 00') },
  ])('hands on at once what cannot be a record: $name', async ({ bytes }) => {
    await using link = await Link.open();
    await link.deliver(bytes);
    const parts: Buffer[] = [];
    for (let part; typeof (part = link.channel.readRecord()) !== 'number';) {
      parts.push(Buffer.from(part));
    }
    expect(Buffer.concat(parts)).toEqual(bytes);
  });

  test('hands on everything after bytes that cannot be a record, records included', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.from('GET /'));
    expect(link.channel.readRecord()).toEqual(Buffer.from('GET /'));
    await link.deliver(Buffer.concat([handshake, alert]));
    expect(link.channel.readRecord()).toEqual(Buffer.concat([handshake, alert]));
  });

  test('judges a header that turns out bad after a good first byte', async () => {
    await using link = await Link.open();
    await link.deliver(hex('16'));
    expect(link.channel.readRecord()).toBe(-EAGAIN);
    await link.deliver(hex('47'));
    expect(link.channel.readRecord()).toEqual(hex('1647'));
  });

  test('answers 0 at the end of the stream, again and again', async () => {
    await using link = await Link.open();
    link.peer.end(handshake);
    expect(await record(link)).toEqual(handshake);
    expect(await record(link)).toBe(0);
    expect(link.channel.readRecord()).toBe(0);
  });

  test.each([
    { name: 'within the header', cut: 3 },
    { name: 'between header and payload', cut: 5 },
    { name: 'within the payload', cut: 7 },
  ])('returns what there is of a record cut short $name, then 0', async ({ cut }) => {
    await using link = await Link.open();
    link.peer.end(handshake.subarray(0, cut));
    expect(await record(link)).toEqual(handshake.subarray(0, cut));
    expect(link.channel.readRecord()).toBe(0);
  });

  test('answers 0 when bytes that cannot be a record end', async () => {
    await using link = await Link.open();
    link.peer.end('GET');
    expect(await record(link)).toEqual(Buffer.from('GET'));
    expect(await record(link)).toBe(0);
  });

  test('reports a reset', async () => {
    await using link = await Link.open();
    link.peer.resetAndDestroy();
    await link.seen(Ready.ERROR);
    expect(link.channel.readRecord()).toBe(-ECONNRESET);
  });

  test('returns memory of its own each time', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.concat([handshake, alert]));
    const first = link.channel.readRecord();
    link.channel.readRecord();
    expect(first).toEqual(handshake);
  });

  test('answers EBADF once closed', async () => {
    await using link = await Link.open();
    await link.deliver(handshake);
    link.channel.close();
    expect(link.channel.readRecord()).toBe(-EBADF);
  });
});

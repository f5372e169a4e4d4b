import { MessageChannel } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { type Channel, Direction } from '../../lib/kernel/binding.js';
import { Link, fdOf, native, tcpPair } from '../support/native.js';

const TLS13 = 0x0304;
const AES_GCM_128 = 51;
const MATERIAL = 16 + 4 + 8 + 8;

const refused = expect.objectContaining({
  name: 'TypeError',
  code: 'ERR_KTLS_NATIVE_ARGUMENT',
}) as unknown;

/** Calls a method with arguments that its type forbids. */
const call = (channel: Channel, method: keyof Channel, ...values: unknown[]): unknown =>
  (channel[method] as (...values: unknown[]) => unknown).apply(channel, values);

const thrownBy = (body: () => unknown): unknown => {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
};

function detached(): Uint8Array {
  const array = new Uint8Array(64);
  const { port1 } = new MessageChannel();
  port1.postMessage(null, [array.buffer]);
  port1.close();
  return array;
}

const notBytes = [
  { name: 'nothing', value: undefined },
  { name: 'null', value: null },
  { name: 'a string', value: 'abc' },
  { name: 'an array', value: [1, 2, 3] },
  { name: 'an ArrayBuffer', value: new ArrayBuffer(8) },
  { name: 'a DataView', value: new DataView(new ArrayBuffer(8)) },
  { name: 'a Uint16Array', value: new Uint16Array(8) },
  { name: 'a Uint8ClampedArray', value: new Uint8ClampedArray(8) },
  { name: 'an object that looks like one', value: { length: 8, buffer: new ArrayBuffer(8) } },
  { name: 'a detached Uint8Array', value: detached() },
];

test.each(notBytes)('refuses $name where bytes are expected', async ({ value }) => {
  await using link = await Link.open();
  const { channel } = link;
  expect(thrownBy(() => call(channel, 'write', value, 0))).toEqual(refused);
  expect(thrownBy(() => call(channel, 'receive', value, 0))).toEqual(refused);
  expect(thrownBy(() => call(channel, 'sendRecord', 21, value))).toEqual(refused);
  expect(
    thrownBy(() => call(channel, 'installKeys', Direction.TX, TLS13, AES_GCM_128, value)),
  ).toEqual(refused);
});

test.each([-1, 9, 1.5, NaN, Infinity, -Infinity, 2 ** 53, '0', undefined, null, 0n])(
  'refuses %s as an offset into eight bytes',
  async (offset) => {
    await using link = await Link.open();
    expect(thrownBy(() => call(link.channel, 'write', new Uint8Array(8), offset))).toEqual(refused);
    expect(thrownBy(() => call(link.channel, 'receive', new Uint8Array(8), offset))).toEqual(
      refused,
    );
  },
);

test('writes nothing, with success, at the very end of the bytes', async () => {
  await using link = await Link.open();
  expect(link.channel.write(new Uint8Array(8), 8)).toBe(0);
  expect(link.channel.write(new Uint8Array(0), 0)).toBe(0);
});

test('refuses to receive into no room, since 0 means the end of the stream', async () => {
  await using link = await Link.open();
  expect(thrownBy(() => link.channel.receive(new Uint8Array(8), 8))).toEqual(refused);
});

test('takes a view within a larger buffer for what it is', async () => {
  await using link = await Link.open();
  await link.deliver(Buffer.from('abcdef'));
  const memory = new Uint8Array(10);
  expect(link.channel.receive(memory.subarray(2, 6), 1)).toBe(3);
  expect(Buffer.from(memory).toString('latin1')).toBe('\0\0\0abc\0\0\0\0');
});

test.each([-1, 256, 1.5, NaN, '21', undefined])('refuses %s as a record type', async (type) => {
  await using link = await Link.open();
  expect(thrownBy(() => call(link.channel, 'sendRecord', type, new Uint8Array(2)))).toEqual(
    refused,
  );
});

test.each([
  { name: 'direction 0', values: [0, TLS13, AES_GCM_128], size: MATERIAL },
  { name: 'direction 3 (TLS_TX_ZEROCOPY_RO)', values: [3, TLS13, AES_GCM_128], size: MATERIAL },
  { name: 'TLS 1.1', values: [1, 0x0302, AES_GCM_128], size: MATERIAL },
  { name: 'a version that does not exist', values: [1, 0x0305, AES_GCM_128], size: MATERIAL },
  { name: 'cipher 50', values: [1, TLS13, 50], size: MATERIAL },
  { name: 'cipher 59', values: [1, TLS13, 59], size: MATERIAL },
  { name: 'a cipher beyond 16 bits', values: [1, TLS13, 65536 + AES_GCM_128], size: MATERIAL },
  { name: 'a cipher by name', values: [1, TLS13, 'aes'], size: MATERIAL },
  { name: 'material a byte short', values: [1, TLS13, AES_GCM_128], size: MATERIAL - 1 },
  { name: 'material a byte long', values: [1, TLS13, AES_GCM_128], size: MATERIAL + 1 },
  { name: 'no material', values: [1, TLS13, AES_GCM_128], size: 0 },
])('installKeys refuses $name, and wipes what it was given', async ({ values, size }) => {
  await using link = await Link.open();
  const material = new Uint8Array(size).fill(0xa5);
  expect(thrownBy(() => call(link.channel, 'installKeys', ...values, material))).toEqual(refused);
  expect(material.every((byte) => byte === 0)).toBe(true);
});

test('installKeys wipes only its own view of a larger buffer', async () => {
  await using link = await Link.open();
  const memory = new Uint8Array(MATERIAL + 2).fill(0xa5);
  // No ULP is attached here, so every kernel says no.
  const result = link.channel.installKeys(
    Direction.TX,
    TLS13,
    AES_GCM_128,
    memory.subarray(1, MATERIAL + 1),
  );
  expect(result).toBeLessThan(0);
  expect([...memory.subarray(0, 2), ...memory.subarray(-2)]).toEqual([0xa5, 0, 0, 0xa5]);
});

test('installKeys wipes the material of a closed channel too', async () => {
  await using link = await Link.open();
  link.channel.close();
  const material = new Uint8Array(MATERIAL).fill(0xa5);
  link.channel.installKeys(Direction.RX, TLS13, AES_GCM_128, material);
  expect(material.every((byte) => byte === 0)).toBe(true);
});

test('sendSequence, keepReceiveKey and probe refuse versions and ciphers that do not exist', async () => {
  await using link = await Link.open();
  for (const [version, cipher] of [
    [0x0302, 51],
    [TLS13, 0],
    [TLS13, 99],
  ] as const) {
    expect(thrownBy(() => link.channel.sendSequence(version, cipher))).toEqual(refused);
    expect(thrownBy(() => link.channel.keepReceiveKey(version, cipher))).toEqual(refused);
    expect(thrownBy(() => native().probe(version, cipher))).toEqual(refused);
  }
});

test.each([-1, 1.5, NaN, 2 ** 31, '3', undefined])('refuses %s as an fd', (fd) => {
  const { Channel } = native();
  expect(thrownBy(() => new Channel(fd as number, () => undefined))).toEqual(refused);
});

test('refuses a channel without a function to call', async () => {
  const { peer, socket } = await tcpPair();
  const { Channel } = native();
  const listener = {} as () => void;
  expect(thrownBy(() => new Channel(fdOf(socket), listener))).toEqual(refused);
  // And leaves nothing behind that would be in a second one's way.
  new Channel(fdOf(socket), () => undefined).close();
  peer.destroy();
  socket.destroy();
});

test('says with errno and syscall why an fd cannot be watched', () => {
  const { Channel } = native();
  expect(thrownBy(() => new Channel(1_000_000, () => undefined))).toEqual(
    expect.objectContaining({ code: 'EBADF', errno: -9, syscall: 'epoll_ctl' }),
  );
});

test('refuses a second channel on an fd that has one', async () => {
  await using link = await Link.open();
  expect(thrownBy(() => new (native().Channel)(fdOf(link.socket), () => undefined))).toEqual(
    expect.objectContaining({ code: 'EEXIST', syscall: 'epoll_ctl' }),
  );
});

test('methods refuse a receiver that is not a channel', async () => {
  await using link = await Link.open();
  const { readRecord, installKeys } = link.channel as unknown as Record<
    string,
    (...values: unknown[]) => unknown
  >;
  for (const receiver of [{}, Object.create(native().Channel.prototype as object), undefined]) {
    expect(() => readRecord!.call(receiver)).toThrow(TypeError);
    expect(() => installKeys!.call(receiver)).toThrow(TypeError);
  }
});

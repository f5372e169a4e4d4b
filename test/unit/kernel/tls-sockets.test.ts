import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { parseTlsSockets } from '../../../lib/kernel/tls-sockets.js';

/** One `TlsSocketRecord`, integers in this machine's order. */
function record(family: number, local: number[], peer: number[]): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  const little = endianness() === 'LE';
  bytes.set([family, 1, 3, 2]);
  view.setUint16(4, 0x303, little);
  view.setUint16(6, 52, little);
  bytes[8] = 1;
  view.setUint16(10, 16384, little);
  view.setUint16(12, 443, little);
  view.setUint16(14, 50000, little);
  bytes.set(local, 16);
  bytes.set(peer, 32);
  [1000, 77, 5, 6].forEach((value, each) => view.setUint32(48 + 4 * each, value, little));
  return bytes;
}

describe('records of sock_diag', () => {
  it('are read field by field', () => {
    expect(parseTlsSockets(record(4, [10, 0, 0, 1], [10, 0, 0, 2]))).toEqual([
      {
        local: '10.0.0.1:443',
        peer: '10.0.0.2:50000',
        state: 'ESTAB',
        version: 'TLSv1.2',
        cipher: 'aes-256-gcm',
        tx: 'device',
        rx: 'software',
        zeroCopy: true,
        noPad: false,
        maxPayload: 16384,
        uid: 1000,
        inode: 77,
        receiveQueue: 5,
        sendQueue: 6,
      },
    ]);
  });

  it('have IPv6 addresses in their short form', () => {
    const loopback = [...new Array<number>(15).fill(0), 1];
    const mapped = [...new Array<number>(10).fill(0), 255, 255, 127, 0, 0, 1];
    const [socket] = parseTlsSockets(record(6, loopback, mapped));
    expect(socket).toMatchObject({ local: '[::1]:443', peer: '[::ffff:127.0.0.1]:50000' });
    const documentation = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff];
    expect(parseTlsSockets(record(6, documentation, loopback))[0]!.local).toBe(
      '[2001:db8::ff]:443',
    );
  });

  it('come one after another, and a broken last one is left out', () => {
    const one = record(4, [10, 0, 0, 1], [10, 0, 0, 2]);
    expect(parseTlsSockets(Buffer.concat([one, one, one.subarray(0, 63)]))).toHaveLength(2);
    expect(parseTlsSockets(new Uint8Array())).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';

import { buildRecordHeader, RecordScanner } from '../../../lib/tls/record.js';
import { Random } from './random.js';

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

// A ChangeCipherSpec, a TLS 1.2 Finished with its explicit nonce, an empty record, an alert.
const stream = hex(
  '1403030001 01' + '160303000c 00112233445566778899aabb' + '1703030000' + '1503030002 0100',
);
const records = [
  { contentType: 20, length: 1, prefix: hex('01') },
  { contentType: 22, length: 12, prefix: hex('0011223344556677') },
  { contentType: 23, length: 0, prefix: hex('') },
  { contentType: 21, length: 2, prefix: hex('0100') },
];

describe('RecordScanner', () => {
  it('finds every record of a chunk', () => {
    const scanner = new RecordScanner();
    expect(scanner.push(stream)).toEqual(records);
    expect(scanner.atBoundary).toBe(true);
  });

  it('finds the same records wherever the stream is cut in two', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const scanner = new RecordScanner();
      const first = scanner.push(stream.subarray(0, cut));
      expect([...first, ...scanner.push(stream.subarray(cut))]).toEqual(records);
    }
  });

  it('finds the same records byte by byte, and knows each boundary', () => {
    const scanner = new RecordScanner();
    const boundaries: number[] = [];
    const found = [...stream.keys()].flatMap((at) => {
      const ended = scanner.push(stream.subarray(at, at + 1));
      if (scanner.atBoundary) boundaries.push(at + 1);
      return ended;
    });
    expect(found).toEqual(records);
    expect(boundaries).toEqual([6, 23, 28, 35]);
  });

  it('stands on a boundary before the first byte, and not inside a header', () => {
    const scanner = new RecordScanner();
    expect(scanner.atBoundary).toBe(true);
    scanner.push(hex('17'));
    expect(scanner.atBoundary).toBe(false);
  });

  it('passes payload on as views of the chunk it was given', () => {
    const fragments: { type: number; fragment: Uint8Array }[] = [];
    const scanner = new RecordScanner((type, fragment) => fragments.push({ type, fragment }));
    const chunk = Buffer.from(stream);
    scanner.push(chunk.subarray(0, 14));
    scanner.push(chunk.subarray(14));
    expect(fragments.map(({ type, fragment }) => [type, fragment.length])).toEqual([
      [20, 1],
      [22, 3],
      [22, 9],
      [21, 2],
    ]);
    expect(fragments.every(({ fragment }) => fragment.buffer === chunk.buffer)).toBe(true);
  });

  it('keeps a prefix that later bytes do not change', () => {
    const scanner = new RecordScanner();
    const [first] = scanner.push(hex('1703030002 aaaa'));
    scanner.push(hex('1703030002 bbbb'));
    expect(first?.prefix).toEqual(hex('aaaa'));
  });

  it.each([
    ['a content type that is none', '1303030001 01'],
    ['a content type beyond heartbeat', '1903030001 01'],
    ['another major version', '1702030001 01'],
    ['a length beyond every version', '1703034801 01'],
    ['an HTTP request', '474554202f'],
  ])('flags %s, and then ignores everything', (_, digits) => {
    const scanner = new RecordScanner();
    expect(scanner.push(hex(digits))).toEqual([]);
    expect(scanner).toMatchObject({ malformed: true, atBoundary: false });
    expect(scanner.push(stream)).toEqual([]);
  });

  it('reports the records in front of what is malformed', () => {
    const scanner = new RecordScanner();
    expect(scanner.push(Buffer.concat([stream, hex('ffffffffff')]))).toEqual(records);
    expect(scanner.malformed).toBe(true);
  });

  it('takes the longest record there is', () => {
    const scanner = new RecordScanner();
    const found = scanner.push(Buffer.concat([hex('1703034800'), Buffer.alloc(0x4800)]));
    expect(found).toMatchObject([{ length: 16_384 + 2048 }]);
  });

  it('says the same of a stream in any pieces', () => {
    const random = new Random(1);
    for (let round = 0; round < 200; round++) {
      const made = Array.from({ length: 1 + random.below(8) }, () => {
        const payload = random.bytes(random.below(40));
        return Buffer.concat([buildRecordHeader(20 + random.below(4), payload.length), payload]);
      });
      const whole = Buffer.concat(made);
      const scanner = new RecordScanner();
      const found = random.pieces(whole, 9).flatMap((piece) => scanner.push(piece));
      expect(found).toEqual(new RecordScanner().push(whole));
      expect(found).toHaveLength(made.length);
      expect(scanner.atBoundary).toBe(true);
    }
  });

  it('survives garbage in any pieces', () => {
    const random = new Random(2);
    for (let round = 0; round < 500; round++) {
      const scanner = new RecordScanner();
      const garbage = random.bytes(200);
      // Half of them begin plausibly, so that the garbage is met in other states too.
      if (round % 2 === 0) hex('170303').copy(garbage);
      const found = random.pieces(garbage, 20).flatMap((piece) => scanner.push(piece));
      expect(found.length).toBeLessThanOrEqual(garbage.length / 5);
    }
  });
});

describe('buildRecordHeader', () => {
  it('says TLS 1.2 and the length', () => {
    expect(buildRecordHeader(23, 0x4100)).toEqual(hex('1703034100'));
  });

  it('refuses a length no record has', () => {
    for (const length of [-1, 1.5, 16_384 + 2049, NaN]) {
      expect(() => buildRecordHeader(23, length)).toThrow(RangeError);
    }
  });
});

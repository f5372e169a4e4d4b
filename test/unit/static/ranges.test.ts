/** RFC 9110 section 14.1.2, its own examples included. */
import { expect, it } from 'vitest';
import { parseRanges } from '../../../lib/static/ranges.js';

it.each([
  ['bytes=0-499', [[0, 499]]],
  ['bytes=500-999', [[500, 999]]],
  ['bytes=-500', [[9500, 9999]]],
  ['bytes=9500-', [[9500, 9999]]],
  [
    'bytes=0-0,-1',
    [
      [0, 0],
      [9999, 9999],
    ],
  ],
  [
    'bytes= 0-999, 4500-5499, -1000',
    [
      [0, 999],
      [4500, 5499],
      [9000, 9999],
    ],
  ],
  [
    'bytes=500-600,601-999',
    [
      [500, 600],
      [601, 999],
    ],
  ],
  ['bytes=500-700,601-999', [[500, 999]]],
  [
    'bytes=5-9,0-1',
    [
      [5, 9],
      [0, 1],
    ],
  ],
  ['bytes=0-,0-,-1', [[0, 9999]]],
  ['Bytes=-20000', [[0, 9999]]],
  ['bytes=0-99999999999999999999', [[0, 9999]]],
  ['bytes=,0-1,,', [[0, 1]]],
  ['bytes=10000-', []],
  ['bytes=-0', []],
  ['bytes=10000-,5-6', [[5, 6]]],
  ['bytes=9-5', null],
  ['bytes=0-1,9-5', null],
  ['bytes=', null],
  ['bytes=1', null],
  ['bytes=-', null],
  ['bytes=--1', null],
  ['bytes=1-2-3', null],
  ['bytes=0x1-0x2', null],
  ['bytes=1.5-2', null],
  ['pages=1-2', null],
  ['', null],
])('reads %j', (header, expected) => {
  const ranges = parseRanges(header, 10_000);
  expect(ranges?.map(({ start, end }) => [start, end]) ?? null).toEqual(expected);
});

it('finds nothing in an empty file', () => {
  for (const header of ['bytes=0-', 'bytes=-1', 'bytes=0-0']) {
    expect(parseRanges(header, 0)).toEqual([]);
  }
});

it('ignores very many ranges, and long headers are no burden', () => {
  const many = (count: number): string =>
    `bytes=${Array.from({ length: count }, (_, i) => `${2 * i}-${2 * i}`).join()}`;
  expect(parseRanges(many(32), 10_000)).toHaveLength(32);
  expect(parseRanges(many(33), 10_000)).toBeNull();
  expect(parseRanges(`bytes=${' '.repeat(100_000)}x`, 10_000)).toBeNull();
});

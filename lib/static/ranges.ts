/** The `Range` header of a request (RFC 9110 section 14.1): which bytes of a file are asked for. */

/** `end` is inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** RFC 9110 section 17.15: many small ranges cost more than the whole file. */
const MOST_RANGES = 32;

/**
 * @param size - Of the file, in bytes.
 * @returns The satisfiable ranges, overlapping ones combined, none if the request cannot be satisfied;
 * `null` if the header is to be ignored: another unit, malformed, or too many ranges.
 */
export function parseRanges(header: string, size: number): ByteRange[] | null {
  const [, set] = /^\s*bytes\s*=(.*)$/i.exec(header) ?? [];
  if (set === undefined) return null;
  const ranges: ByteRange[] = [];
  let some = false;
  for (const item of set.split(',')) {
    const text = item.trim();
    if (text === '') continue;
    const [, first = '', last = ''] = /^(\d*)-(\d*)$/.exec(text) ?? [];
    if (first === '' && last === '') return null;
    if (first !== '' && last !== '' && Number(last) < Number(first)) return null;
    some = true;
    const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
    const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
    if (start <= end) ranges.push({ start, end });
  }
  if (!some) return null;
  const combined = combine(ranges);
  return combined.length > MOST_RANGES ? null : combined;
}

/** Leaves ranges that do not overlap in the order in which they were asked for. */
function combine(ranges: ByteRange[]): ByteRange[] {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  const combined: ByteRange[] = [];
  for (const range of sorted) {
    const before = combined.at(-1);
    if (before === undefined || range.start > before.end) combined.push(range);
    else combined[combined.length - 1] = { ...before, end: Math.max(before.end, range.end) };
  }
  return combined.length === ranges.length ? ranges : combined;
}

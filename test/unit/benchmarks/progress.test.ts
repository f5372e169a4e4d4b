import { expect, it } from 'vitest';
import { Progress, duration } from '../../../benchmarks/progress.js';

/** What a bar of two steps writes, the first of which is done. */
function written(isTTY: boolean): string {
  let text = '';
  const stream = { isTTY, write: (piece: string) => (text += piece) };
  const progress = new Progress(2, stream as unknown as NodeJS.WriteStream);
  progress.log('a line');
  progress.step();
  text = text.slice(text.indexOf('a line'));
  expect(progress.end()).toBe('0:00');
  return text;
}

it('a bar is on a terminal only, and goes at the end', () => {
  expect(written(false)).toBe('a line\n');
  const text = written(true);
  expect(text).toContain(`[${'#'.repeat(15)}${'.'.repeat(15)}] 1 of 2, 0:00`);
  expect(text.endsWith('\r\x1b[2K')).toBe(true);
});

it('times are in minutes and seconds', () => {
  expect([0, 59_499, 59_500, 3_600_000].map(duration)).toEqual(['0:00', '0:59', '1:00', '60:00']);
});

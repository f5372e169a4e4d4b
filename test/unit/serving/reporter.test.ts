import { expect, it, vi } from 'vitest';
import { Screen, progressLine } from '../../../lib/serving/reporter.js';

it('shows how far a transfer is, within the width there is', () => {
  const state = { name: '/directory/file', bytes: 512 * 1024, total: 2 ** 31 };
  expect(progressLine(state, 1500, 60)).toBe(
    '/directory/file           0% 512.0 KiB of 2.0 GiB, 1.5 KiB/s',
  );
  const narrow = progressLine({ ...state, name: '/long'.repeat(20) }, 1500, 60);
  expect(narrow).toHaveLength(60);
  expect(narrow).toMatch(/^…[long/]+ /);
});

it('is never longer than the terminal is wide', () => {
  const state = { name: '/directory/file', bytes: 512 * 1024, total: 2 ** 31 };
  for (let width = 10; width <= 80; width++) {
    const line = progressLine(state, 1500, width);
    expect(line.length, line).toBeLessThanOrEqual(width);
    expect(line).toMatch(/e +0%/);
  }
  expect(progressLine(state, 1500, 40)).toBe('…irectory/file   0% 512.0 KiB of 2.0 GiB');
});

it('keeps the log above the transfers', () => {
  vi.useFakeTimers();
  let written = '';
  const out = { columns: 80, rows: 24, write: (text: string) => (written += text) };
  const screen = new Screen(out as unknown as NodeJS.WriteStream, true);
  screen.transfer({ id: '1', name: '/file', bytes: 1, total: 10 });
  vi.advanceTimersByTime(1000);
  expect(written).toMatch(/^\/file .* 10% 1 B of 10 B, \d+ B\/s\n$/);
  written = '';
  screen.line('logged');
  expect(written).toMatch(/^\x1b\[1A\x1b\[Jlogged\n\/file [^\n]*\n$/);
  written = '';
  screen.note('noted');
  expect(written).toMatch(/^\x1b\[1A\x1b\[Jktls: noted\n\/file [^\n]*\n$/);
  written = '';
  screen.done('1');
  screen.done('1');
  vi.advanceTimersByTime(1000);
  expect(written).toBe('\x1b[1A\x1b[J');
  vi.useRealTimers();
});

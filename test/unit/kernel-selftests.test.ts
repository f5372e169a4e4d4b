/** The checklist of docs/kernel-selftests.md names tests that exist, and each of the kernel's cases once. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const document = read('docs/kernel-selftests.md');
const rows = document
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split(' | '))
  .map(([cases, tests]) => ({
    cases: [...cases!.matchAll(/`(\w+)`/g)].map((match) => match[1]!),
    tests: tests!,
  }));
const named = rows.flatMap(({ cases, tests }) =>
  [...tests.matchAll(/`(test\/[\w/-]+\.test\.ts)`, "([^"]+)"/g)].map(([, file, title]) => ({
    cases: cases.join(),
    file: file!,
    title: title!,
  })),
);

it('it counts its cases right, and has each once', () => {
  const cases = rows.flatMap((row) => row.cases);
  expect(cases.length).toBe(Number(/has (\d+) cases/.exec(document)![1]));
  expect(new Set(cases).size).toBe(cases.length);
});

it('every case has a test, or the reason why not', () => {
  for (const { cases, tests } of rows) {
    expect(tests, cases.join()).toMatch(/^(None: .{10}|`test\/)/);
  }
});

describe('a test that is named exists', () => {
  it.each(named)('$cases: $file, "$title"', ({ file, title }) => {
    expect(existsSync(new URL(file, root))).toBe(true);
    const source = read(file);
    const quoted = ["'", '`', '"'].map((quote) => `${quote}${title}`);
    expect(quoted.some((text) => source.includes(text))).toBe(true);
  });
});

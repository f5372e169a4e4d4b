import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { revision } from '../../../benchmarks/revision.js';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ktls-revision-'));
  writeFileSync(join(root, 'package.json'), '{"version":"1.2.3"}');
  for (const folder of ['lib', 'docs']) mkdirSync(join(root, folder));
  writeFileSync(join(root, 'lib/a.ts'), 'a');
});
afterEach(() => rmSync(root, { recursive: true }));

const git = (...args: string[]): unknown =>
  execFileSync('git', ['-C', root, '-c', 'user.name=n', '-c', 'user.email=e', ...args], {
    stdio: 'pipe',
  });

function commit(): void {
  git('add', '.');
  git('commit', '-q', '-m', 'm');
}

describe('the revision', () => {
  it("is the package's version outside of a checkout", () => {
    expect(revision(root)).toBe('1.2.3');
  });

  it("is the package's version where git does not answer", () => {
    mkdirSync(join(root, '.git'));
    expect(revision(root)).toBe('1.2.3');
  });

  it('is the commit that last touched what is measured', () => {
    git('init', '-q');
    commit();
    const first = revision(root);
    expect(first).toMatch(/^[0-9a-f]{7,}$/);
    writeFileSync(join(root, 'docs/b.md'), 'b');
    commit();
    expect(revision(root)).toBe(first);
    writeFileSync(join(root, 'lib/a.ts'), 'changed');
    commit();
    expect(revision(root)).not.toBe(first);
  });

  it('tells two changed trees apart, by files that git does not know yet too', () => {
    git('init', '-q');
    commit();
    const names = ['b', 'c'].map((text) => {
      writeFileSync(join(root, 'lib/a.ts'), text);
      return revision(root);
    });
    writeFileSync(join(root, 'lib/new.ts'), 'd');
    names.push(revision(root));
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{7,}-dirty-[0-9a-f]{8}$/);
  });
});

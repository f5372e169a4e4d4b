/** What runs with this repository's rights is fixed by hash, and has no more of them than it needs. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const folder = new URL('../../.github/workflows/', import.meta.url);
const workflows = readdirSync(folder).map((name) => ({
  name,
  lines: readFileSync(new URL(name, folder), 'utf8').split('\n'),
}));

it('there are workflows for every change and for a release', () => {
  expect(workflows.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['ci.yml', 'release.yml']),
  );
});

describe.each(workflows)('$name', ({ lines }) => {
  const text = lines.join('\n');

  it('pins every action by a commit, and names its version', () => {
    const uses = lines.filter((line) => /^\s*(- )?uses:/.test(line));
    expect(uses.length).toBeGreaterThan(0);
    for (const line of uses) {
      expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
  });

  it('starts with no right but to read', () => {
    const [, granted] = /^permissions:(.*\n(?: {2}.*\n)*)/m.exec(text)!;
    expect([' {}\n', '\n  contents: read\n']).toContain(granted);
    const rights = [...text.matchAll(/^ +([a-z-]+): write$/gm)].map((match) => match[1]);
    expect(rights.filter((right) => right !== 'id-token')).toEqual([]);
  });

  it('leaves no credentials in the checkout, and gives every job a deadline', () => {
    const checkouts = text.split('actions/checkout@').slice(1);
    for (const rest of checkouts) {
      expect(rest.split('\n').slice(1, 3).join()).toContain('persist-credentials: false');
    }
    const jobs = [...text.matchAll(/^ {4}runs-on: /gm)].length;
    expect([...text.matchAll(/^ {4}timeout-minutes: /gm)]).toHaveLength(jobs);
  });

  it('puts nothing that others write into a shell', () => {
    for (const line of lines.filter((each) => /^\s*(- )?run:/.test(each))) {
      expect(line).not.toContain('${{');
    }
  });
});

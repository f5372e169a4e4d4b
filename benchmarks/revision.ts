import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../vm/package-root.js';

/** What decides the figures: what is measured, and what measures. */
const MEASURED = ['lib', 'src-native', 'binding.gyp', 'benchmarks/*.ts', 'vm/qemu.ts'];

/**
 * The last commit that touched what decides the figures, with `-dirty-` and a digest of what differs from
 * it, so that two states of a tree never have one name; outside of a checkout, and where git does not
 * answer, the package's version.
 */
export function revision(root = packageRoot()): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  // An installed package may lie inside of somebody else's checkout.
  if (!existsSync(join(root, '.git'))) return version;
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...args, '--', ...MEASURED], {
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 28,
    });
  try {
    const commit = git('log', '-1', '--format=%h').trim();
    const changes = git('diff', 'HEAD', '--binary');
    const added = git('ls-files', '--others', '--exclude-standard', '-z')
      .split('\0')
      .filter(Boolean);
    if (changes === '' && added.length === 0) return commit;
    const digest = createHash('sha256').update(changes);
    for (const file of added) digest.update(file).update(readFileSync(join(root, file)));
    return `${commit}-dirty-${digest.digest('hex').slice(0, 8)}`;
  } catch {
    return version;
  }
}

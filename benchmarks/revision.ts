import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../vm/package-root.js';

/**
 * The commit, and whether what is measured or what measures differs from it; of an installed package its
 * version.
 */
export function revision(): string {
  const root = packageRoot();
  if (!existsSync(join(root, '.git'))) {
    const text = readFileSync(join(root, 'package.json'), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  }
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...args], { encoding: 'latin1' }).trim();
  const changed = git('status', '--porcelain', '--', 'lib', 'src-native', 'benchmarks/*.ts');
  return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : '-dirty');
}

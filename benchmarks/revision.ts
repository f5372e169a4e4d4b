import { execFileSync } from 'node:child_process';

/** The commit, and whether what is measured or what measures differs from it. */
export function revision(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { encoding: 'latin1' }).trim();
  const changed = git('status', '--porcelain', '--', 'lib', 'src-native', 'benchmarks/*.ts');
  return git('rev-parse', '--short', 'HEAD') + (changed === '' ? '' : '-dirty');
}

/** Programs that a script calls: as root on Debian the missing ones are installed, others are told how. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const present = (file: string): boolean =>
  file.startsWith('/')
    ? existsSync(file)
    : (process.env['PATH'] ?? '').split(delimiter).some((each) => existsSync(join(each, file)));

/** @param packages the Debian package of each program, or of each file that is named by its path */
export function requirePrograms(packages: Readonly<Record<string, string>>): void {
  const missing = Object.keys(packages).filter((name) => !present(name));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map((name) => packages[name]!))];
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  if (process.getuid?.() !== 0 || !present('apt-get')) {
    console.error(`Missing ${missing.join(', ')}. As root:\n  apt-get ${install.join(' ')}`);
    process.exit(1);
  }
  console.error(`installing ${names.join(' ')}`);
  for (const args of [['update', '-qq'], install]) {
    const { status } = spawnSync('apt-get', args, { stdio: ['ignore', 2, 2] });
    if (status !== 0) process.exit(status ?? 1);
  }
}

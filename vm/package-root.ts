import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The checkout's root, from this file's place in vm/ or out/vm/. */
export function packageRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

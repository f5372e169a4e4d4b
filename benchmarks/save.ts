import { renameSync, writeFileSync } from 'node:fs';

/** Writes a result that is still growing: at no time is there half a file. */
export function save(file: string, text: string): void {
  writeFileSync(`${file}.partial`, text);
  renameSync(`${file}.partial`, file);
}

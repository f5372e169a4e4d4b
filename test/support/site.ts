/** A directory to serve, and beside it what must not be served. */
import { mkdirSync, utimesSync } from 'node:fs';
import type { Scratch } from './scratch.js';

/** When `file.bin` was last modified. */
export const modifiedAt = new Date('2026-01-02T03:04:05Z');

/** @returns the paths of the directory and of the file with the content given */
export function writeSite(scratch: Scratch, content: Uint8Array): { root: string; file: string } {
  const root = scratch.path('site');
  mkdirSync(root);
  const file = scratch.write('site/file.bin', content);
  utimesSync(file, modifiedAt, modifiedAt);
  scratch.write('site/index.html', '<p>index');
  scratch.write('site/.secret', 'PRIVATE');
  scratch.write('site/page.html', 'plain page');
  scratch.write('site/page.html.br', 'brotli page');
  scratch.write('site/page.html.gz', 'gzip page');
  scratch.write('outside', 'PRIVATE');
  return { root, file };
}

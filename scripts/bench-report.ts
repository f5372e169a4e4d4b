/**
 * `npm run bench:report`: makes the README's table, docs/performance.md and its charts from the newest
 * result file. `--check` only says which of them are not what it would make.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { documents } from '../benchmarks/report/document.js';
import { newestSource } from '../benchmarks/report/source.js';

const check = process.argv.includes('--check');

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

const source = newestSource();
if (source === undefined) throw new Error('there is no result file');
mkdirSync('docs/performance', { recursive: true });
for (const [path, text] of await documents(source, newestSource('vectors'))) {
  if (contentOf(path) === text) continue;
  console.log(`${path} ${check ? `is not what ${source.path} makes` : 'written'}`);
  if (check) process.exitCode = 1;
  else writeFileSync(path, text);
}

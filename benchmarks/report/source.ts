/** The committed result that the documents are made from. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '../result.js';

const RESULTS = 'benchmarks/results';

/** A result and where it stands. */
export interface Source {
  readonly path: string;
  readonly result: Result;
}

/** The newest result that counts instructions. */
export function newestSource(): Source | undefined {
  return readdirSync(RESULTS)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(RESULTS, name))
    .map((path) => {
      return { path, result: JSON.parse(readFileSync(path, 'utf8')) as Result };
    })
    .filter(({ result }) => result.machine.time === 'instructions')
    .sort((a, b) => a.result.date.localeCompare(b.result.date))
    .at(-1);
}

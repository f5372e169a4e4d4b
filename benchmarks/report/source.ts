/** The committed result that the documents are made from. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Copies } from '../machine.js';
import { type Result, copiesOf } from '../result.js';
import { defaultCiphers } from '../settings.js';

const RESULTS = 'benchmarks/results';

/** A result and where it stands. */
export interface Source {
  readonly path: string;
  readonly result: Result;
}

/** The newest result that counts instructions, of the default version and cipher, and which copies so. */
export function newestSource(copies: Copies = 'strings'): Source | undefined {
  return readdirSync(RESULTS)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(RESULTS, name))
    .map((path) => {
      return { path, result: JSON.parse(readFileSync(path, 'utf8')) as Result };
    })
    .filter(
      ({ result: { machine, version, cipher } }) =>
        machine.time === 'instructions' &&
        copiesOf(machine) === copies &&
        version === 'TLSv1.3' &&
        cipher === defaultCiphers[version],
    )
    .sort((a, b) => a.result.date.localeCompare(b.result.date))
    .at(-1);
}

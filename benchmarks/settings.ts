/** The options of a run, as `npm run bench` and the process that measures both read them. */
import { parseArgs } from 'node:util';
import { count } from './count.js';
import { type DriverName, isDriverName } from './drivers/driver.js';
import { type Trial, trials, trialsOf } from './trials/table.js';

export const help = `Measures servers and clients with and without kernel TLS, each sample in a fresh process.

  npx ktls bench [options]        in a checkout: npm run bench -- [options]

  --quick            the most telling trials, one sample each
  --full             every size and 10,000 idle connections too
  --filter TEXT      trials whose name contains one of the words, by commas
  --drivers NAMES    of these drivers only, by commas
  --samples N        samples of each driver (default 2 if instructions are counted, else 5)
  --version NAME     TLSv1.3 (default) or TLSv1.2
  --cipher NAME      OpenSSL's name (default AES-128-GCM's)
  --json FILE        keep the result, written after each driver
  --resume           FILE may exist: drivers of which it lacks samples are measured, and take their place
  --other-revisions  FILE may hold figures of other revisions, which stay as they are and keep their name
  --vector-copies    in a VM: copies by vectors, instead of by instructions of which each byte counts
  --vm               count instructions in a VM, which is the default where the kernel has no TLS
  --jobs N           guests at the same time (default 1)
  --timeout S        for one trial in a guest, its start included (default 3600)
  --list             name the trials
`;

export interface Settings {
  readonly trials: readonly { readonly trial: Trial; readonly drivers: readonly DriverName[] }[];
  readonly samples: number | undefined;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly cipher: string;
  readonly json: string | undefined;
  readonly resume: boolean;
  readonly otherRevisions: boolean;
  readonly vectorCopies: boolean;
  readonly vm: boolean;
  readonly jobs: number;
  readonly timeout: number;
  readonly list: boolean;
  readonly help: boolean;
}

/** OpenSSL's names. */
export const defaultCiphers = {
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256',
  'TLSv1.2': 'ECDHE-ECDSA-AES128-GCM-SHA256',
} as const;

const list = (text: string | undefined): string[] | undefined => text?.split(',').filter(Boolean);

/** A word that is the name of a trial means no other. */
const matches = (name: string, word: string): boolean =>
  trials.some((trial) => trial.name === word) ? name === word : name.includes(word);

/** @throws Error on an option that is unknown or selects nothing */
export function settingsOf(args: string[]): Settings {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      filter: { type: 'string' },
      drivers: { type: 'string' },
      samples: { type: 'string' },
      version: { type: 'string', default: 'TLSv1.3' },
      cipher: { type: 'string' },
      json: { type: 'string' },
      resume: { type: 'boolean', default: false },
      'other-revisions': { type: 'boolean', default: false },
      'vector-copies': { type: 'boolean', default: false },
      vm: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '1' },
      timeout: { type: 'string', default: '3600' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { version, quick, full } = values;
  if (version !== 'TLSv1.3' && version !== 'TLSv1.2') throw new Error(`--version ${version}`);
  const names = list(values.drivers);
  const unknown = names?.find((name) => !isDriverName(name));
  if (unknown !== undefined) throw new Error(`--drivers: no driver is called '${unknown}'`);
  const words = list(values.filter);
  // A trial that is named is wanted, whichever set it is in.
  const candidates =
    quick || !words ? trialsOf(quick ? 'quick' : full ? 'full' : 'standard') : trials;
  const chosen = candidates
    .filter(({ name }) => words?.some((word) => matches(name, word)) ?? true)
    .map((trial) => {
      return { trial, drivers: trial.drivers.filter((name) => names?.includes(name) ?? true) };
    })
    .filter(({ drivers }) => drivers.length > 0);
  if (chosen.length === 0) throw new Error('no trial is left by --filter and --drivers');
  return {
    trials: chosen,
    samples: values.samples ? count('samples', values.samples) : quick ? 1 : undefined,
    version,
    cipher: values.cipher ?? defaultCiphers[version],
    json: values.json,
    resume: values.resume,
    otherRevisions: values['other-revisions'],
    vectorCopies: values['vector-copies'],
    vm: values.vm,
    jobs: count('jobs', values.jobs),
    timeout: count('timeout', values.timeout),
    list: values.list,
    help: values.help,
  };
}

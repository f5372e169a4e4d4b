/**
 * Runs the trials, each sample in fresh processes, and writes to standard output, which is all that leaves
 * a guest: the figures as they come, then the whole result behind a mark. `npm run bench` starts it where
 * kernel TLS is.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { TlsSettings } from './drivers/driver.js';
import { type Time, machine, toolVersions } from './machine.js';
import {
  type Figures,
  RESULT_MARK,
  type Result,
  type TrialResult,
  figuresOf,
  ratios,
} from './result.js';
import { type Sample, sample } from './subject.js';
import { FILE_SIZE, type Trial, trials } from './trials.js';

const { values: options } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    samples: { type: 'string' },
    version: { type: 'string', default: 'TLSv1.3' },
    cipher: { type: 'string' },
    time: { type: 'string', default: 'clock' },
  },
});

const version = options.version as TlsSettings['version'];
const cipher =
  options.cipher ??
  (version === 'TLSv1.3' ? 'TLS_AES_128_GCM_SHA256' : 'ECDHE-ECDSA-AES128-GCM-SHA256');
const time = options.time as Time;
// Counted instructions repeat; wall time does not.
const usual = time === 'instructions' ? 2 : 5;
const samples =
  options.samples === undefined ? (options.quick ? 1 : usual) : Number(options.samples);
const chosen = trials.filter(
  (trial) => trial.name.includes(options.filter) && (!options.quick || trial.quick === true),
);

function certificate(folder: string): { key: string; cert: string } {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-days', '2', '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', ...kind, ...subject], { stdio: 'pipe' });
  return { key: readFileSync(key, 'latin1'), cert: readFileSync(cert, 'latin1') };
}

function show({ driver, total, user, system, spread }: Figures, unit: string, ratio: number): void {
  const figures = [total, user, system].map((value) => value.toFixed(1).padStart(10)).join('');
  const beside = Number.isNaN(ratio) ? '' : `${ratio.toFixed(3)}×`.padStart(9);
  const range = `±${(spread * 50).toFixed(1)} %`.padStart(9);
  console.log(`  ${driver.padEnd(14)}${figures} µs/${unit.padEnd(10)}${beside}${range}`);
}

async function run(trial: Trial, scene: Parameters<typeof sample>[0]): Promise<TrialResult> {
  console.log(`${trial.name}: ${trial.title} (CPU of the ${trial.measures}: all, user, system)`);
  const taken = new Map<string, Sample[]>(trial.drivers.map((driver) => [driver, []]));
  // Round by round, so that a machine that changes its pace changes it for all.
  for (let round = 0; round < samples; round++) {
    for (const driver of trial.drivers) {
      taken.get(driver)!.push(await sample(scene, trial, driver));
    }
  }
  const { name, title, measures, unit } = trial;
  const figures = [...taken].map(([driver, list]) => figuresOf(driver, list));
  const result = { name, title, measures, unit, figures };
  for (const [index, { ratio }] of ratios(result).entries()) show(figures[index]!, unit, ratio);
  return result;
}

const folder = mkdtempSync(join(tmpdir(), 'ktls-bench-'));
try {
  const file = join(folder, 'file');
  writeFileSync(file, Buffer.alloc(FILE_SIZE, 'file'));
  const scene = { tls: { ...certificate(folder), version, cipher }, file };
  const facts = machine(time);
  console.log(`Linux ${facts.kernel}, ${facts.cpu}, Node ${facts.node}, ${version} ${cipher}`);
  if (time === 'clock') console.log('Wall-clock time is noisy: mind the spread.');
  const results: TrialResult[] = [];
  for (const trial of chosen) results.push(await run(trial, scene));
  const result: Result = {
    date: new Date().toISOString(),
    machine: facts,
    tools: toolVersions(),
    version,
    cipher,
    trials: results,
  };
  console.log(RESULT_MARK + JSON.stringify(result));
} finally {
  rmSync(folder, { recursive: true });
}

/**
 * The process that measures: takes the samples of one trial, and writes each driver's result behind a mark
 * to standard output, which is all that leaves a guest. `benchmarks/session.ts` starts it, where it is to
 * measure, with an Order as its argument.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificate } from './certificate.js';
import type { DriverName } from './drivers/driver.js';
import { machine } from './machine.js';
import { type Order, RESULT_MARK } from './order.js';
import { difference, offloadedSoFar, requireProof } from './proof.js';
import { type Result, figuresOf } from './result.js';
import { trialNamed } from './trials/table.js';
import { MiB, type Sample, type Scene, type Trial } from './trials/trial.js';

/** @throws BenchError if it is not proved that the connections were what the driver's name says */
async function take(scene: Scene, trial: Trial, driver: DriverName): Promise<Sample> {
  const before = offloadedSoFar();
  const sample = await trial.sample(scene, driver);
  const { connections, offloaded, evidence = 'made' } = sample;
  const all = difference(offloadedSoFar(), before);
  requireProof(driver, connections, { offloaded, evidence }, all);
  return sample;
}

function fileMaker(folder: string) {
  mkdirSync(join(folder, 'file'));
  return (bytes: number): string => {
    const path = join(folder, 'file', String(bytes));
    if (statSync(path, { throwIfNoEntry: false })?.size === bytes) return path;
    const piece = Buffer.alloc(Math.min(bytes, MiB), 'file');
    for (let written = 0; written < bytes; written += piece.length) {
      writeFileSync(path, piece, { flag: 'a' });
    }
    return path;
  };
}

async function run(order: Order, trial: Trial, scene: Scene): Promise<void> {
  const { version, cipher, samples, revision } = order;
  const facts = machine(order);
  const taken = new Map<DriverName, Sample[]>();
  // Round by round, so that a machine that changes its pace changes it for all.
  for (let round = 1; round <= samples; round++) {
    for (const driver of order.drivers) {
      const list = [...(taken.get(driver) ?? []), await take(scene, trial, driver)];
      taken.set(driver, list);
      if (round < samples) continue;
      const { name, title, measures, metric, unit } = trial;
      const figures = [figuresOf(trial, driver, revision, list)];
      const result: Result = {
        date: new Date().toISOString(),
        machine: facts,
        version,
        cipher,
        trials: [{ name, title, measures, metric, unit, figures }],
      };
      console.log(RESULT_MARK + JSON.stringify(result));
    }
  }
}

async function main(order: Order): Promise<void> {
  const trial = trialNamed(order.trial);
  if (order.barModule) writeFileSync('/proc/sys/kernel/modprobe', '/bin/false');
  const folder = mkdtempSync(join(tmpdir(), 'ktls-bench-'));
  try {
    const { version, cipher } = order;
    const tls = { ...certificate(), version, cipher };
    await run(order, trial, { tls, folder, file: fileMaker(folder) });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await main(JSON.parse(process.argv[2]!) as Order);

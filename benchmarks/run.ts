/**
 * The process that measures: takes the samples of one trial, and writes each driver's result behind a mark
 * to standard output, which is all that leaves a guest. `benchmarks/session.ts` starts it, where it is to
 * measure, with an Order as its argument.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificate } from './certificate.js';
import { type DriverName, drivers } from './drivers/driver.js';
import { machine } from './machine.js';
import { offloadedSoFar } from './measure.js';
import { type Order, RESULT_MARK } from './order.js';
import { type Result, type VerifiedSample, figuresOf } from './result.js';
import { trialNamed } from './trials/table.js';
import { MiB, type Scene, type Trial } from './trials/trial.js';

/** @throws Error if a connection of a kernel TLS driver ran in user space, or one of another did not */
async function take(scene: Scene, trial: Trial, driver: DriverName): Promise<VerifiedSample> {
  const before = offloadedSoFar();
  const sample = await trial.sample(scene, driver);
  const after = offloadedSoFar();
  const offloaded = { tx: after.tx - before.tx, rx: after.rx - before.rx };
  const wanted: readonly string[] = drivers[driver].offload;
  const silent = wanted.some(
    (direction) => offloaded[direction as 'tx' | 'rx'] < sample.connections,
  );
  if (silent || (wanted.length === 0 && offloaded.tx + offloaded.rx > 0)) {
    const counted = `${offloaded.tx} tx and ${offloaded.rx} rx went under kernel TLS`;
    throw new Error(`${trial.name}, ${driver}: of ${sample.connections} connections, ${counted}`);
  }
  return { ...sample, offloaded };
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
  const facts = machine(order.time);
  const taken = new Map<DriverName, VerifiedSample[]>();
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

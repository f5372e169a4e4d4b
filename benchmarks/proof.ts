/** Whether the connections that were measured were carried as the driver's name says, by the kernel. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import ktls from 'ktls';
import { type DriverName, drivers } from './drivers/driver.js';
import { BenchError } from './errors.js';

/** Directions of connections under kernel TLS, by the kernel's own counters. */
export interface Offloaded {
  readonly tx: number;
  readonly rx: number;
}

/**
 * How a sample knows it. `made`: the measured part made its connections itself, and so many went under
 * kernel TLS in it. `established`: so many were under it when the measured part began and when it ended.
 */
export type Evidence = 'made' | 'established';

export interface Proof {
  readonly evidence: Evidence;
  readonly offloaded: Offloaded;
}

/** For the kernel to let go of the sockets of processes that have ended, in milliseconds. */
const PATIENCE = 30_000;

function sum(...names: string[]): number {
  const counters = ktls.stats() ?? {};
  return names.reduce((total, name) => total + (counters[name] ?? 0), 0);
}

/** Of this network namespace, all told. */
export function offloadedSoFar(): Offloaded {
  return { tx: sum('TlsTxSw', 'TlsTxDevice'), rx: sum('TlsRxSw', 'TlsRxDevice') };
}

/** Of this network namespace, now. */
export function offloadedNow(): Offloaded {
  return { tx: sum('TlsCurrTxSw', 'TlsCurrTxDevice'), rx: sum('TlsCurrRxSw', 'TlsCurrRxDevice') };
}

/** What is under kernel TLS when nothing of ours is, which on a host of others may be something. */
export async function offloadedAtRest(): Promise<Offloaded> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const now = offloadedNow();
    if (now.tx + now.rx === 0 || performance.now() > deadline) return now;
    await sleep(20);
  }
}

export const difference = (after: Offloaded, before: Offloaded): Offloaded => {
  return { tx: after.tx - before.tx, rx: after.rx - before.rx };
};

/** The lesser of two counts in each direction. */
export const lesser = (a: Offloaded, b: Offloaded): Offloaded => {
  return { tx: Math.min(a.tx, b.tx), rx: Math.min(a.rx, b.rx) };
};

/**
 * @param connections that carried what was measured
 * @param all what went under kernel TLS from the sample's beginning to its end
 * @throws BenchError if a connection of a kernel TLS driver ran in user space, or one of another did not
 */
export function requireProof(
  driver: DriverName,
  connections: number,
  { offloaded, evidence }: Proof,
  all: Offloaded,
): void {
  const wanted = drivers[driver].offload;
  const proved = wanted.every((direction) => offloaded[direction] >= connections);
  if (connections > 0 && proved && (wanted.length > 0 || all.tx + all.rx === 0)) return;
  const { tx, rx } = wanted.length > 0 ? offloaded : all;
  throw new BenchError(
    'ERR_KTLS_BENCH_NOT_PROVED',
    `${driver}: of ${connections} connections, ${tx} tx and ${rx} rx under kernel TLS (${evidence})`,
  );
}

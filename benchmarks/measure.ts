/**
 * What a process has cost, read from outside, so that being measured costs it nothing and a server that
 * is not Node is measured alike.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import ktls from 'ktls';
import type { Offloaded } from './result.js';
import type { Sample } from './trials/trial.js';

/** What a process has used so far: microseconds of CPU, bytes of memory. */
export interface Usage {
  /** Of the clock, in microseconds. */
  readonly at: number;
  readonly user: number;
  readonly system: number;
  readonly resident: number;
}

/**
 * The sum over the threads of a process. The total is the scheduler's own, to the nanosecond
 * (`/proc/<pid>/task/<tid>/schedstat`); user and system share it as the kernel's accounting has it
 * (`/proc/<pid>/stat`), which without precise accounting samples once a tick.
 */
export function usageOf(pid: number): Usage {
  const tasks = `/proc/${pid}/task`;
  let nanoseconds = 0;
  for (const task of readdirSync(tasks)) {
    nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]);
  }
  // The fields behind the program's name, which is in parentheses and may hold anything.
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  const [user, system] = [Number(stat[11]), Number(stat[12])];
  const share = user + system === 0 ? 1 : user / (user + system);
  const total = nanoseconds / 1000;
  return {
    at: performance.now() * 1000,
    user: total * share,
    system: total * (1 - share),
    resident: residentOf(pid),
  };
}

/** The part of a sample that follows from two looks at a process. */
export function costOf(
  before: Usage,
  after: Usage,
  units: number,
): Pick<Sample, 'units' | 'cpu' | 'perSecond' | 'resident'> {
  const user = (after.user - before.user) / units;
  const system = (after.system - before.system) / units;
  return {
    units,
    cpu: { total: user + system, user, system },
    perSecond: units / ((after.at - before.at) / 1e6),
    resident: after.resident,
  };
}

/**
 * What the kernel has in use for all processes, in bytes: slabs, per-CPU data, and what sockets hold in
 * pages.
 */
export function kernelMemory(): number {
  const meminfo = readFileSync('/proc/meminfo', 'latin1');
  const kibibytes = ['Slab', 'Percpu']
    .map((name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0))
    .reduce((sum, value) => sum + value);
  const [, pages] = /^TCP: .* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'latin1'))!;
  return kibibytes * 1024 + Number(pages) * 4096;
}

function residentOf(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kibibytes) * 1024;
}

/** Of this network namespace, all told. */
export function offloadedSoFar(): Offloaded {
  const counters = ktls.stats() ?? {};
  const sum = (...names: string[]): number =>
    names.reduce((total, name) => total + (counters[name] ?? 0), 0);
  return { tx: sum('TlsTxSw', 'TlsTxDevice'), rx: sum('TlsRxSw', 'TlsRxDevice') };
}

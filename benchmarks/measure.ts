/**
 * What a process has cost, read from outside, so that being measured costs it nothing and a server that
 * is not Node is measured alike.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { Sample } from './trials/trial.js';

/** What a process has used so far: microseconds of CPU, bytes of memory. */
export interface Usage {
  /** Of the clock, in microseconds. */
  readonly at: number;
  readonly cpu: number;
  /** How the kernel divides it, in ticks: neither ever falls. */
  readonly ticks: { readonly user: number; readonly system: number };
  readonly resident: number;
  /** Of all the kernel's own threads, in microseconds. */
  readonly kernelThreads: number;
}

/** The fields behind the program's name, which is in parentheses and may hold anything. */
const statOf = (pid: number | string): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');

/**
 * The sum over the threads of a process. The total is the scheduler's own, to the nanosecond
 * (`/proc/<pid>/task/<tid>/schedstat`), of the threads that are there: none may end while it counts. User
 * and system are utime and stime of `/proc/<pid>/stat`, which without precise accounting the kernel
 * samples once a tick, scales to that total, and keeps from falling (`cputime_adjust`).
 */
export function usageOf(pid: number): Usage {
  const tasks = `/proc/${pid}/task`;
  let nanoseconds = 0;
  for (const task of readdirSync(tasks)) {
    nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]);
  }
  const stat = statOf(pid);
  return {
    at: performance.now() * 1000,
    cpu: nanoseconds / 1000,
    ticks: { user: Number(stat[11]), system: Number(stat[12]) },
    resident: residentOf(pid),
    kernelThreads: kernelThreads(),
  };
}

/** PF_KTHREAD of the kernel's sched.h. */
const KERNEL_THREAD = 0x200000;

/** CPU of the kernel's own threads (ksoftirqd, kworkers, …), in microseconds, whoever gave them work. */
function kernelThreads(): number {
  let nanoseconds = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if ((Number(statOf(pid)[6]) & KERNEL_THREAD) === 0) continue;
      nanoseconds += Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[0]);
    } catch {
      // It has ended meanwhile.
    }
  }
  return nanoseconds / 1000;
}

/**
 * The part of a sample that follows from two looks at a process. The total is divided as the ticks between
 * them are: to take each part's two totals from each other would let one of them be negative.
 */
export function costOf(
  before: Usage,
  after: Usage,
  units: number,
): Pick<Sample, 'units' | 'cpu' | 'ticks' | 'kernelThreads' | 'perSecond' | 'resident'> {
  const total = (after.cpu - before.cpu) / units;
  const during = {
    user: after.ticks.user - before.ticks.user,
    system: after.ticks.system - before.ticks.system,
  };
  // What is over within a tick is divided as all that the process has done.
  const { user, system } = during.user + during.system > 0 ? during : after.ticks;
  const share = user + system > 0 ? user / (user + system) : 1;
  return {
    units,
    cpu: { total, user: total * share, system: total * (1 - share) },
    ticks: during.user + during.system,
    kernelThreads: (after.kernelThreads - before.kernelThreads) / units,
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

/** How many descriptors a process has open. */
export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

function residentOf(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kibibytes) * 1024;
}

/**
 * What a process has cost, read from outside, so that being measured costs it nothing and a server that
 * is not Node is measured alike.
 */
import { readFileSync, readdirSync } from 'node:fs';
import ktls from 'ktls';

/** Microseconds of CPU, and bytes of memory. */
export interface Usage {
  readonly user: number;
  readonly system: number;
  readonly resident: number;
}

/** CPU time of what has been done between two looks, in microseconds. */
export interface Cost {
  readonly user: number;
  readonly system: number;
  readonly total: number;
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
  return { user: total * share, system: total * (1 - share), resident: residentOf(pid) };
}

export function costBetween(before: Usage, after: Usage): Cost {
  const user = after.user - before.user;
  const system = after.system - before.system;
  return { user, system, total: user + system };
}

function residentOf(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kibibytes) * 1024;
}

/** Directions of connections that have gone under kernel TLS in this network namespace, all told. */
export interface Offloaded {
  readonly tx: number;
  readonly rx: number;
}

export function offloadedSoFar(): Offloaded {
  const counters = ktls.stats() ?? {};
  const sum = (...names: string[]): number =>
    names.reduce((total, name) => total + (counters[name] ?? 0), 0);
  return { tx: sum('TlsTxSw', 'TlsTxDevice'), rx: sum('TlsRxSw', 'TlsRxDevice') };
}

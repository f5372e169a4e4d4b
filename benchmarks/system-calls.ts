/** How many system calls a process makes. */
import { accessSync, constants, readFileSync, readdirSync, writeFileSync } from 'node:fs';

const EVENT = '/sys/kernel/tracing/events/raw_syscalls/sys_enter';
const HISTOGRAM = 'hist:keys=common_pid';

/** Whether the kernel lets this process count them: only root, and where tracefs is mounted. */
function allowed(): boolean {
  try {
    accessSync(`${EVENT}/trigger`, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Counted by the kernel's tracing (Documentation/trace/histogram.rst), which makes each of them dearer: not for
 * a load whose CPU is measured.
 *
 * @returns the calls of all threads that the process has at the end; undefined where nobody may count them
 */
export async function systemCallsDuring(
  pid: number,
  what: () => Promise<unknown>,
): Promise<number | undefined> {
  if (!allowed()) return undefined;
  writeFileSync(`${EVENT}/trigger`, HISTOGRAM);
  try {
    await what();
    return callsOf(readdirSync(`/proc/${pid}/task`), readFileSync(`${EVENT}/hist`, 'latin1'));
  } finally {
    writeFileSync(`${EVENT}/trigger`, `!${HISTOGRAM}`);
  }
}

/** @param threads their ids */
export function callsOf(threads: readonly string[], histogram: string): number {
  return [...histogram.matchAll(/^\{ common_pid: *(\d+) \} hitcount: *(\d+)/gm)]
    .filter(([, thread]) => threads.includes(thread!))
    .reduce((sum, [, , count]) => sum + Number(count), 0);
}

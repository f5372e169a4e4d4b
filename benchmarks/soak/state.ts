/** The state of the process that asks, for which it must have been started with `--expose-gc`. */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessState } from './result.js';

/** Finalizers run in turns of the loop between collections, and may let go of more. */
const COLLECTIONS = 3;

export async function processState(): Promise<ProcessState> {
  for (let i = 0; i < COLLECTIONS; i++) {
    await sleep(20);
    globalThis.gc!();
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    heap: heapUsed + external,
    resident: rss,
    fds: readdirSync('/proc/self/fd').length,
    handles: process.getActiveResourcesInfo().length,
  };
}

/** What a test must not leave behind. */
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Closing takes a few turns of the loop, more of them on a slow machine. */
const PATIENCE = 15_000;

/** What the fds of this process stand for, as `/proc/self/fd` has it. */
function openFds(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The directory's own fd, gone by now.
      return [];
    }
  });
}

/** How many fds this process has of a file. */
export const openFiles = (path: string): number =>
  openFds().filter((target) => target === path).length;

/** The sockets this process holds, by inode. */
export function openSockets(): Set<string> {
  return new Set(openFds().filter((target) => target.startsWith('socket:')));
}

/** Waits until no socket is open that was not open before, and rejects if that does not happen. */
export async function onlyOpen(before: Set<string>): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const left = [...openSockets()].filter((socket) => !before.has(socket));
    if (left.length === 0) return;
    if (Date.now() > deadline) throw new Error(`${left.length} sockets are still open`);
    await delay(20);
  }
}

/** What a test must not leave behind. */
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Closing takes a few turns of the loop, more of them on a slow machine. */
const PATIENCE = 15_000;

/** The sockets this process holds, by inode. */
export function openSockets(): Set<string> {
  const sockets = new Set<string>();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      if (target.startsWith('socket:')) sockets.add(target);
    } catch {
      // The directory's own fd, gone by now.
    }
  }
  return sockets;
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

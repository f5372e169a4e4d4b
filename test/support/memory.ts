/**
 * What another process has in its memory. The one that looks is not the one looked at: what it looks for it has
 * itself.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Read at a time, in bytes. */
const CHUNK = 1024 * 1024;

export interface Found {
  readonly name: string;
  /** What `/proc/pid/maps` calls the place: `[heap]`, `[stack]`, a file, or nothing. */
  readonly mapping: string;
}

/** Each place in the writable memory of a process in which one of `needles` is. */
export function searchMemory(pid: number, needles: Readonly<Record<string, Buffer>>): Found[] {
  const found: Found[] = [];
  const longest = Math.max(...Object.values(needles).map(({ length }) => length));
  const chunk = Buffer.alloc(CHUNK + longest);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const { start, end, mapping } of writableMappings(pid)) {
      for (let at = start; at < end; at += CHUNK) {
        const wanted = Math.min(chunk.length, end - at);
        const bytes = chunk.subarray(0, readSync(memory, chunk, 0, wanted, at));
        for (const [name, needle] of Object.entries(needles)) {
          let index = bytes.indexOf(needle);
          // What begins behind this chunk is found in the next.
          while (index >= 0 && index < CHUNK) {
            found.push({ name, mapping });
            index = bytes.indexOf(needle, index + 1);
          }
        }
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

/** proc_pid_maps(5): `start-end permissions offset device inode path`. */
function writableMappings(pid: number): { start: number; end: number; mapping: string }[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n');
  return lines.flatMap((line) => {
    const match = /^(\w+)-(\w+) rw.. \S+ \S+ \d+ *(.*)$/.exec(line);
    if (match === null) return [];
    const [, start = '', end = '', mapping = ''] = match;
    return [{ start: parseInt(start, 16), end: parseInt(end, 16), mapping }];
  });
}

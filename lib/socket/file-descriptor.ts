/**
 * Files opened and described, by the addon in one turn of the thread pool, by node:fs where that is not
 * possible.
 */
import { close, constants, fstat, open } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type NativeBinding, type OnFile, loadBinding } from '../kernel/binding.js';
import { errnoError } from '../errors.js';

/** An open descriptor, and what `fstat` says of it. */
export interface Described {
  readonly fd: number;
  /** By who opened it: what node:fs opens in a worker thread node:fs must close. */
  close(): void;
  /** `st_mode`. */
  readonly mode: number;
  readonly size: number;
  /** See `OpenFile`. */
  readonly local: boolean;
}

/** Rejects with the error of node:fs. */
export async function openPath(path: string | Buffer | URL): Promise<Described> {
  const binding = loadBinding();
  // Node's permission model knows nothing of what an addon opens.
  if (!(binding instanceof Error) && !('permission' in process)) {
    const bytes = bytesOf(path);
    if (bytes !== null) {
      const found = await ask(binding, (done) => binding.openFile(bytes, done));
      if (typeof found !== 'number') return found;
      // What node:fs says of it has the path, and whatever else is expected of its errors.
    }
  }
  const fd = await new Promise<number>((resolve, reject) => {
    open(path, constants.O_RDONLY | constants.O_NONBLOCK, (error, opened) => {
      if (error === null) resolve(opened);
      else reject(error);
    });
  });
  // What close(2) says of a file that was only read helps nobody.
  return describe(fd, () => close(fd, () => undefined));
}

/**
 * A duplicate, which the application cannot close. Where there is no addon the descriptor itself, to be
 * kept open as for node:fs.
 *
 * @throws Error with `code`, `errno` and `syscall`
 */
export function duplicate(fd: number): number {
  const binding = loadBinding();
  if (binding instanceof Error) return fd;
  const result = binding.duplicate(fd);
  if (result < 0) throw errnoError(result, 'fcntl');
  return result;
}

/** Of what `duplicate` returned. Rejects with the error of `fstat`; a duplicate is closed then. */
export function describeDuplicate(fd: number): Promise<Described> {
  const binding = loadBinding();
  return describe(fd, () => {
    if (!(binding instanceof Error)) binding.close(fd);
  });
}

async function describe(fd: number, release: () => void): Promise<Described> {
  const binding = loadBinding();
  try {
    if (binding instanceof Error) return { ...(await describeByNode(fd)), close: release };
    const found = await ask(binding, (done) => binding.describeFile(fd, done));
    if (typeof found === 'number') throw errnoError(found, 'fstat');
    return { ...found, close: release };
  } catch (error) {
    release();
    throw error;
  }
}

function describeByNode(fd: number): Promise<Omit<Described, 'close'>> {
  return new Promise((resolve, reject) => {
    fstat(fd, (error, stats) => {
      if (error === null) resolve({ fd, mode: stats.mode, size: stats.size, local: false });
      else reject(error);
    });
  });
}

/** @returns what was found, or a negated errno */
function ask(binding: NativeBinding, start: (done: OnFile) => number): Promise<Described | number> {
  return new Promise((resolve) => {
    const result = start((fd, mode, size, local) => {
      resolve(fd < 0 ? fd : { fd, mode, size, local, close: () => binding.close(fd) });
    });
    if (result < 0) resolve(result);
  });
}

/** `null`: for node:fs to refuse. */
function bytesOf(path: string | Buffer | URL): Buffer | null {
  if (path instanceof URL) return path.protocol === 'file:' ? bytesOf(fileURLToPath(path)) : null;
  const bytes = typeof path === 'string' ? Buffer.from(path) : path;
  return bytes.length === 0 || bytes.includes(0) ? null : bytes;
}

/**
 * A file to be sent, opened: whatever it was given as, it is a descriptor of our own from here on, so
 * that nobody can close it, or have its number name another file, while it is being sent.
 */
import { constants, read } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { KtlsError, invalidArgument } from '../errors.js';
import type { SendFileRange } from '../options.js';
import { describeDuplicate, duplicate, openPath } from './file-descriptor.js';

/** What `fs.ReadStream` has. */
export interface ReadStreamLike {
  readonly path?: string | Buffer | null | undefined;
  readonly fd?: number | null | undefined;
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly bytesRead?: number | undefined;
  on?(event: 'error', listener: () => void): unknown;
  destroy(): unknown;
}

/**
 * A path, a file descriptor, a `FileHandle`, or an `fs.ReadStream` that nobody has read from: its range
 * is taken over, and the stream itself destroyed.
 */
export type FileSource = string | Buffer | URL | number | FileHandle | ReadStreamLike;

/** The part of a file that is promised to the peer. */
export interface OpenFile {
  readonly fd: number;
  readonly start: number;
  /** `sized`: of what is sent. Else nobody knows before it was read, as in procfs, and this is the most. */
  readonly length: number;
  readonly sized: boolean;
  /** Whether its cached pages are had without asking anybody: no network, no file system in user space. */
  readonly local: boolean;
  close(): void;
}

/** A path, or a descriptor that is ours. */
interface Located {
  path?: string | Buffer | URL;
  fd?: number;
  range: SendFileRange;
}

/**
 * Opens a file and settles which of its bytes are meant: those that it has now. What is appended later is
 * not sent. A file that has content although its size is 0, as procfs has them, is read to its end.
 *
 * @returns Rejects with `ERR_KTLS_NOT_A_FILE`, `ERR_KTLS_FILE_RANGE`, or the error of `open` or `fstat`.
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `source`; what `fcntl` says of a wrong fd.
 */
export function openFile(source: FileSource, range: SendFileRange): Promise<OpenFile> {
  const located = locate(source, range);
  return openLocated(located);
}

function locate(source: unknown, range: SendFileRange): Located {
  if (typeof source === 'string' || source instanceof URL || Buffer.isBuffer(source)) {
    return { path: source, range };
  }
  if (typeof source === 'number') return { fd: duplicate(source), range };
  if (typeof source === 'object' && source !== null) {
    const { path, fd, start, end, bytesRead, destroy } = source as Partial<ReadStreamLike>;
    if (typeof destroy !== 'function') {
      if (typeof fd === 'number') return { fd: duplicate(fd), range };
    } else if (typeof fd === 'number' || (path !== undefined && path !== null)) {
      if (bytesRead) throw invalidArgument('source', 'must not have been read from', 'a stream');
      const whole = end === undefined || end === Infinity;
      const own = { start: range.start || (start ?? 0), end: range.end ?? (whole ? null : end) };
      // Before the stream is destroyed, and its descriptor with it.
      const located =
        typeof fd === 'number' ? { fd: duplicate(fd), range: own } : { path: path!, range: own };
      const stream = source as ReadStreamLike;
      // One that is opening its file still says so if it cannot; so does whoever opens it for us.
      stream.on?.('error', () => undefined);
      stream.destroy();
      return located;
    }
  }
  throw invalidArgument('source', 'must be a path, an fd, a FileHandle or a ReadStream', source);
}

async function openLocated({ path, fd: given, range }: Located): Promise<OpenFile> {
  const file = await (given === undefined ? openPath(path!) : describeDuplicate(given));
  const { fd, mode, size, local } = file;
  const release = (): void => file.close();
  try {
    const kind = mode & constants.S_IFMT;
    if (kind !== constants.S_IFREG) throw new KtlsError('ERR_KTLS_NOT_A_FILE', nameOf(kind));
    const { start } = range;
    const most = range.end === null ? Infinity : range.end + 1 - start;
    if (size === 0 && (await hasContent(fd, start))) {
      return { fd, start, length: most, sized: false, local, close: release };
    }
    if (start > size) throw new KtlsError('ERR_KTLS_FILE_RANGE', `${start} of ${size} bytes`);
    const length = Math.max(0, Math.min(most, size - start));
    return { fd, start, length, sized: true, local, close: release };
  } catch (error) {
    release();
    throw error;
  }
}

/** What the file is made of is made when it is read. */
function hasContent(fd: number, position: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    read(fd, Buffer.allocUnsafe(1), 0, 1, position, (error, bytes) => {
      if (error === null) resolve(bytes > 0);
      else reject(error);
    });
  });
}

function nameOf(kind: number): string {
  if (kind === constants.S_IFDIR) return 'it is a directory';
  if (kind === constants.S_IFIFO) return 'it is a FIFO';
  if (kind === constants.S_IFSOCK) return 'it is a socket';
  return 'it is a device';
}

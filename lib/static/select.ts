/**
 * What answers a request for a file, decided and described but not sent. Names, dotfiles, conditions,
 * validators and content types are `@fastify/send`'s, which is asked as if every request were HEAD, so
 * that it opens no file. Ours are: several ranges and whether they are due, precompressed files, files
 * without a size, and that the file that is sent is the one that the headers describe.
 */
import { type Stats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { relative, sep } from 'node:path';
import send from '@fastify/send';
import Negotiator from 'negotiator';
import type { StaticSettings } from './options.js';
import { type ByteRange, parseRanges } from './ranges.js';

export type Headers = Record<string, string | number>;

export interface Asked {
  readonly method: 'GET' | 'HEAD';
  readonly headers: IncomingHttpHeaders;
  /** As it stands in the URL, without the query. */
  readonly path: string;
}

/** There is something to answer with; `file` is the caller's to close, `null` if nothing of it is sent. */
export interface FileAnswer {
  readonly kind: 'file';
  readonly status: number;
  readonly headers: Headers;
  readonly file: FileHandle | null;
  /** In this order; none for the whole file. */
  readonly ranges: readonly ByteRange[];
  /** `null`: nobody knows before it was read. */
  readonly size: number | null;
}

export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly headers: Headers;
  /** There is such a file, so that nobody else is to be asked for it. */
  readonly found: boolean;
  readonly cause: Error | undefined;
}

/** The path names a directory, and should end in a slash. */
export interface DirectoryFound {
  readonly kind: 'directory';
}

export type Selection = FileAnswer | Refusal | DirectoryFound;

/** Replaced while we look at it: so often it is looked at again. */
const ATTEMPTS = 3;

export async function select(asked: Asked, settings: StaticSettings): Promise<Selection> {
  for (let attempt = 1; ; attempt++) {
    const found = await find(asked, settings);
    if (found.kind !== 'described') return found;
    const { status, headers, path, stat, ranges, size } = found;
    const answer = { kind: 'file', status, headers, ranges, size } as const;
    if (asked.method === 'HEAD' || status === 304) return { ...answer, file: null };
    const file = await openDescribed(path, stat, attempt === ATTEMPTS);
    if (file !== null && !(file instanceof Error)) return { ...answer, file };
    if (attempt === ATTEMPTS || (file !== null && statusOf(file) !== 404)) {
      if (file === null) return refusal(503);
      const status = statusOf(file);
      // It was found, and is not anybody else's to answer for, unless it has gone meanwhile.
      return refusal(status, { cause: file, found: status !== 404 });
    }
  }
}

/** @returns The file that `stat` is of; `null` if that one is there no more, or an error. */
async function openDescribed(
  path: string,
  stat: Stats,
  leniently: boolean,
): Promise<FileHandle | Error | null> {
  let file: FileHandle;
  try {
    // O_NONBLOCK: a FIFO may have taken its place.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return error as Error;
  }
  try {
    const now = await file.stat();
    const same = now.isFile() && now.dev === stat.dev && now.ino === stat.ino;
    const untouched = now.size === stat.size && now.mtimeMs === stat.mtimeMs;
    // A log that grows all the time still begins with what was described.
    if (same && (untouched || (leniently && now.size >= stat.size))) return file;
  } catch (error) {
    await file.close();
    return error as Error;
  }
  await file.close();
  return null;
}

interface Described {
  readonly kind: 'described';
  readonly status: number;
  readonly headers: Headers;
  readonly path: string;
  readonly stat: Stats;
  readonly ranges: readonly ByteRange[];
  readonly size: number | null;
}

async function find(
  asked: Asked,
  settings: StaticSettings,
): Promise<Described | Exclude<Selection, FileAnswer>> {
  const plain = await look(asked, asked.path, settings.send);
  if (await isMadeWhenRead(plain)) return findMade(asked, settings);
  if (!settings.precompressed || plain.file?.isFile !== true) return judge(plain);
  const suitable = await findEncoded(asked, plain.file.path, settings);
  const { looked, encoding } = suitable ?? { looked: plain, encoding: null };
  const judged = judge(looked);
  if (judged.kind === 'directory') return judged;
  const { headers } = judged;
  headers['Vary'] = 'Accept-Encoding';
  if (encoding !== null && judged.kind === 'described' && judged.status !== 304) {
    headers['Content-Type'] = contentType(plain.file.path);
    headers['Content-Encoding'] = encoding;
  }
  return judged;
}

/** Whether a file has content although its size is 0, as procfs has them. */
async function isMadeWhenRead({ file }: Looked): Promise<boolean> {
  if (file?.isFile !== true || file.stat.size > 0) return false;
  let opened: FileHandle | undefined;
  try {
    opened = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
    return (await opened.read(Buffer.alloc(1), 0, 1, 0)).bytesRead > 0;
  } catch {
    // Whoever opens it to send it will say so.
    return false;
  } finally {
    await opened?.close();
  }
}

/** Its size and its time say nothing of its content: it has no validator, and no part of it can be named. */
async function findMade(
  asked: Asked,
  settings: StaticSettings,
): Promise<Described | Exclude<Selection, FileAnswer>> {
  const without = { etag: false, lastModified: false, acceptRanges: false };
  const unconditional = { ...asked, headers: {} };
  const judged = judge(await look(unconditional, asked.path, { ...settings.send, ...without }));
  if (judged.kind !== 'described') return judged;
  const { 'Content-Length': _, ...headers } = judged.headers;
  return { ...judged, headers, size: null };
}

const suffixes = { br: '.br', gzip: '.gz' } as const;
type Encoding = keyof typeof suffixes;

async function findEncoded(
  asked: Asked,
  path: string,
  { root, send: options }: StaticSettings,
): Promise<{ looked: Looked; encoding: Encoding } | null> {
  const negotiator = new Negotiator(asked) as unknown as {
    encodings(available: string[], options: { preferred: string[] }): (Encoding | 'identity')[];
  };
  const preferred = Object.keys(suffixes);
  const name = relative(root, path).split(sep).map(encodeURIComponent).join('/');
  for (const encoding of negotiator.encodings([...preferred, 'identity'], { preferred })) {
    if (encoding === 'identity') return null;
    const exact = { ...options, contentType: false, index: false, extensions: false };
    // The name itself was allowed already.
    const looked = await look(asked, `/${name}${suffixes[encoding]}`, {
      ...exact,
      dotfiles: 'allow',
    });
    // The plain file is better than none.
    if (looked.file?.isFile === true && (await isReadable(looked.file.path))) {
      return { looked, encoding };
    }
  }
  return null;
}

async function isReadable(path: string): Promise<boolean> {
  try {
    await (await open(path, constants.O_RDONLY | constants.O_NONBLOCK)).close();
    return true;
  } catch (error) {
    return statusOf(error as Error) !== 403;
  }
}

function contentType(path: string): string {
  const type = send.mime.getType(path) ?? 'application/octet-stream';
  return send.isUtf8MimeType(type) ? `${type}; charset=utf-8` : type;
}

interface Looked {
  result: send.SendResult;
  /** Chosen by its name; there, whatever the conditions of the request make of it. */
  file: { readonly path: string; readonly stat: Stats; readonly isFile: boolean } | null;
  ranges: readonly ByteRange[];
}

async function look(asked: Asked, path: string, options: send.SendOptions): Promise<Looked> {
  const headers = { ...asked.headers };
  const seen: Pick<Looked, 'file' | 'ranges'> = { file: null, ranges: [] };
  const onFile = (chosen: string, stat: Stats): void => {
    seen.file = { path: chosen, stat, isFile: stat.isFile() };
    const { range, 'if-range': validator } = headers;
    // Answered here.
    delete headers['if-range'];
    const isWanted = asked.method === 'GET' && isSame(validator, stat, options);
    const parsed = isWanted && range !== undefined ? parseRanges(range, stat.size) : null;
    if (parsed === null) {
      delete headers.range;
      return;
    }
    seen.ranges = parsed;
    const [first] = parsed;
    // One range is all that the library needs, to decide whether ranges are due at all.
    headers.range =
      first === undefined ? `bytes=${stat.size}-` : `bytes=${first.start}-${first.end}`;
  };
  const request = { method: 'HEAD', headers } as unknown as Parameters<typeof send>[0];
  const result = await send(request, path, { ...options, onFile });
  return { result, ...seen };
}

/**
 * Whether a client may add a part of this file to those that it has. RFC 9110 section 13.1.5 wants the date
 * that it was given, and neither a later one nor a weak entity tag; ours are weak. Ranges are for GET
 * (section 14.2).
 */
function isSame(
  validator: IncomingHttpHeaders[string],
  stat: Stats,
  options: send.SendOptions,
): boolean {
  if (validator === undefined) return true;
  return options.lastModified !== false && validator === stat.mtime.toUTCString();
}

function judge({ result, file, ranges }: Looked): Described | Exclude<Selection, FileAnswer> {
  const { statusCode: status, headers } = result;
  if (result.type === 'directory') return { kind: 'directory' };
  // What is no regular file does not exist for us.
  if (file?.isFile === false) return refusal(404);
  if (result.type === 'error') {
    const { error } = result.metadata;
    const code = status === 500 ? statusOf(error) : status;
    const range = headers['Content-Range'];
    const own = range === undefined ? {} : { 'Content-Range': range };
    return refusal(code, { headers: own, found: file !== null, cause: error });
  }
  const { path, stat } = file!;
  const parts = status === 206 ? ranges : [];
  return {
    kind: 'described',
    status,
    headers: { ...headers },
    path,
    stat,
    ranges: parts,
    size: stat.size,
  };
}

function refusal(
  status: number,
  { headers = {}, found = false, cause }: Partial<Omit<Refusal, 'kind' | 'status'>> = {},
): Refusal {
  return { kind: 'refusal', status, headers, found, cause };
}

/** Of an error of `stat` or `open`. */
function statusOf(error: Error): number {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'ENXIO'].includes(code)) return 404;
  return code === 'EACCES' || code === 'EPERM' ? 403 : 500;
}

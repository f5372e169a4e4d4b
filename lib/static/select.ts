/**
 * What answers a request for a file, decided and described but not sent. Names, dotfiles, conditions,
 * validators and content types are `@fastify/send`'s, which is asked as if every request were HEAD, so
 * that it opens no file. Ours are: several ranges, precompressed files, and that the file that is sent
 * is the one that the headers describe.
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
  readonly size: number;
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
    const { status, headers, path, stat, ranges } = found;
    const answer = { kind: 'file', status, headers, ranges, size: stat.size } as const;
    if (asked.method === 'HEAD' || status === 304) return { ...answer, file: null };
    const file = await openDescribed(path, stat, attempt === ATTEMPTS);
    if (file !== null && !(file instanceof Error)) return { ...answer, file };
    if (attempt === ATTEMPTS || (file !== null && statusOf(file) !== 404)) {
      const cause = file ?? undefined;
      return refusal(cause === undefined ? 503 : statusOf(cause), { cause });
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
}

async function find(
  asked: Asked,
  settings: StaticSettings,
): Promise<Described | Exclude<Selection, FileAnswer>> {
  const plain = await look(asked, asked.path, settings.send);
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
    if (looked.file?.isFile === true) return { looked, encoding };
  }
  return null;
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
    const { range } = headers;
    // RFC 9110 section 14.2: ranges are for GET.
    const parsed =
      range === undefined || asked.method === 'HEAD' ? null : parseRanges(range, stat.size);
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
  return { kind: 'described', status, headers: { ...headers }, path, stat, ranges: parts };
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

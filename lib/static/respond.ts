/** What was selected, on its way: the headers, and the file by `sendFile`. */
import { randomBytes } from 'node:crypto';
import { type IncomingMessage, STATUS_CODES, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Writable } from 'node:stream';
import { sendFile } from '../send-file.js';
import type { ByteRange } from './ranges.js';
import type { FileAnswer, Headers, Refusal } from './select.js';

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

/** How far the body is, of how many bytes, if that is known; there may be several of these for one response. */
export type Progress = (bytes: number, total: number | null) => void;

/** What the application has set stands. */
const theirs = new Set(['Cache-Control', 'Content-Type']);

function setHeaders(response: AnyResponse, status: number, headers: Headers): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'Vary') addVary(response, String(value));
    else if (!theirs.has(name) || !response.hasHeader(name)) response.setHeader(name, value);
  }
}

function addVary(response: AnyResponse, name: string): void {
  const before = [response.getHeader('Vary') ?? []].flat().join(', ');
  const listed = before.split(',').map((item) => item.trim().toLowerCase());
  if (listed.includes('*') || listed.includes(name.toLowerCase())) return;
  response.setHeader('Vary', before === '' ? name : `${before}, ${name}`);
}

/** A short text for a status that has no file to show. */
export function respondText(
  request: AnyRequest,
  response: AnyResponse,
  status: number,
  headers: Headers = {},
): void {
  const text = `${STATUS_CODES[status] ?? 'Error'}\n`;
  // They would be those of the file.
  for (const name of ['Content-Type', 'Cache-Control']) response.removeHeader(name);
  setHeaders(response, status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  });
  if (request.method === 'HEAD') response.end();
  else response.end(text);
}

export function respondRefusal(
  request: AnyRequest,
  response: AnyResponse,
  { status, headers }: Refusal,
): void {
  respondText(request, response, status, status === 503 ? { 'Retry-After': 1 } : headers);
}

interface Part {
  readonly start: number;
  /** Inclusive; `null`: the file's end. */
  readonly end: number | null;
  /** What goes before it. */
  readonly head: string;
}

interface Body {
  readonly parts: readonly Part[];
  readonly tail: string;
  readonly headers: Headers;
}

/** RFC 9110 section 14.6 has the form of several ranges. */
function bodyOf({ headers, ranges, size }: FileAnswer, contentType: string | undefined): Body {
  if (size === null) return { parts: [{ start: 0, end: null, head: '' }], tail: '', headers };
  if (ranges.length < 2) {
    const whole = size === 0 ? [] : [{ start: 0, end: size - 1 }];
    const parts = (ranges.length === 1 ? ranges : whole).map((range) => ({ ...range, head: '' }));
    return { parts, tail: '', headers };
  }
  const boundary = randomBytes(16).toString('hex');
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`;
  const parts = ranges.map(({ start, end }, at) => ({
    start,
    end,
    head:
      `${at === 0 ? '' : '\r\n'}--${boundary}\r\n` +
      `${type}Content-Range: bytes ${start}-${end}/${size}\r\n\r\n`,
  }));
  const tail = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, part) => sum + part.head.length + lengthOf(part), tail.length);
  const { 'Content-Range': _, ...rest } = headers;
  const form = {
    'Content-Type': `multipart/byteranges; boundary=${boundary}`,
    'Content-Length': length,
  };
  return { parts, tail, headers: { ...rest, ...form } };
}

const lengthOf = ({ start, end }: ByteRange): number => end - start + 1;

/** A write to a response that somebody else has ended would be an 'error' of it, which nobody awaits. */
function assertOpen(response: AnyResponse): void {
  if (response.writableEnded) throw new Error('the response was ended meanwhile');
}

/**
 * Sends the answer and closes its file. Resolves when all of it is on its way, or the response cannot
 * get any more of it: then it is destroyed, as is its connection if that got a part of a file.
 */
export async function respondFile(
  response: AnyResponse,
  answer: FileAnswer,
  progress?: Progress,
): Promise<void> {
  const { status, file, ranges } = answer;
  let begun = false;
  try {
    if (file === null) {
      setHeaders(response, status, answer.headers);
      response.end();
      return;
    }
    const type = response.getHeader('Content-Type') ?? answer.headers['Content-Type'];
    const { parts, tail, headers } = bodyOf(answer, type?.toString());
    if (ranges.length > 1) response.removeHeader('Content-Type');
    setHeaders(response, status, headers);
    const total = answer.size === null ? null : Number(headers['Content-Length']);
    let before = 0;
    const onProgress = (bytes: number): void => {
      begun = true;
      progress?.(before + bytes, total);
    };
    for (const part of parts) {
      const { start, end, head } = part;
      if (head !== '') {
        assertOpen(response);
        (response as Writable).write(head);
        begun = true;
      }
      before += head.length;
      const sent = await sendFile(response, file, {
        start,
        ...(end === null ? {} : { end }),
        onProgress,
      });
      if (end !== null && sent !== lengthOf({ start, end })) {
        throw new Error('the file is shorter than it was');
      }
      before += sent;
    }
    if (tail !== '') assertOpen(response);
    response.end(tail);
  } catch {
    // What somebody else has answered instead stands. Else it is too late to say anything: the head has gone out, or
    // the connection is over.
    if (begun || !response.writableEnded) response.destroy();
  } finally {
    // What close(2) says of a file that was only read helps nobody.
    await file?.close().catch(() => undefined);
  }
}

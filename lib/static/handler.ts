/** One request, from its URL to its answer; what each framework wants of it is its adapter's business. */
import { ServerResponse } from 'node:http';
import { countPending } from '../node-private.js';
import { type StaticSettings } from './options.js';
import {
  type AnyRequest,
  type AnyResponse,
  type Progress,
  respondFile,
  respondRefusal,
  respondText,
} from './respond.js';
import { type Refusal, type Selection, select } from './select.js';

/** What a request is passed on with, when it is not answered here. */
export type PassOn = (refusal: Refusal) => void;

export interface Where {
  /** The path below the root as it stands in the URL, without the query. */
  readonly path: string;
  /** All of the request's URL, for redirects. */
  readonly url: string;
  /** Who is asked when there is nothing here; not if there is a file, whatever its answer is. */
  readonly passOn?: PassOn | undefined;
  readonly progress?: Progress | undefined;
}

/** The path of a request's target, which may be a whole URL (RFC 9112 section 3.2.2). */
export function pathOf(target: string): string {
  const [path] = /^[^?#]*/.exec(target)!;
  const [origin] = /^[a-z][a-z0-9+.-]*:\/\/[^/]*/i.exec(path) ?? [];
  if (origin === undefined) return path;
  // RFC 9110 section 4.2.3: none is the same as "/".
  return path.slice(origin.length) || '/';
}

/** Never rejects, and answers or passes on once: not if the connection goes before it is this request's turn. */
export async function answer(
  request: AnyRequest,
  response: AnyResponse,
  settings: StaticSettings,
  { path, url, passOn, progress }: Where,
): Promise<void> {
  const { method, headers } = request;
  const refuse = (refusal: Refusal): void => {
    if (passOn !== undefined && !refusal.found) passOn(refusal);
    else respondRefusal(request, response, refusal);
  };
  const without = { kind: 'refusal', headers: {}, found: false, cause: undefined } as const;
  if (method !== 'GET' && method !== 'HEAD') {
    refuse({ ...without, status: 405, headers: { Allow: 'GET, HEAD' } });
    return;
  }
  await turnOf(response);
  let selection: Selection;
  try {
    selection = await select({ method, headers, path }, settings);
  } catch (error) {
    selection = { ...without, status: 500, cause: error as Error };
  }
  if (response.headersSent) {
    // By somebody else meanwhile, for whom a timer ran out.
    if (selection.kind === 'file') await selection.file?.close();
  } else if (selection.kind === 'refusal') {
    refuse(selection);
  } else if (selection.kind === 'file') {
    await respondFile(response, selection, progress);
  } else if (settings.redirect && !path.endsWith('/')) {
    respondText(request, response, 301, { Location: withSlash(url) });
  } else {
    refuse({ ...without, status: 404 });
  }
}

/** What a response that waits counts for, in bytes: about its head. */
const WAITING = 256;

/**
 * A response of HTTP/1 has a socket from when those before it on the connection are done. Whoever pipelines
 * requests and reads nothing would else hold a file open for each of them. Nor is there to be no end of them:
 * what waits with something written counts with Node, and so must this.
 */
async function turnOf(response: AnyResponse): Promise<void> {
  const queued = response instanceof ServerResponse && response.socket === null;
  if (queued && !response.destroyed && !response.writableEnded) {
    const uncount = countPending(response, WAITING);
    await new Promise((resolve) => response.once('socket', resolve));
    uncount();
  }
}

/** A second slash at the beginning would make it the name of another host; a backslash is one to browsers. */
function withSlash(url: string): string {
  const path = pathOf(url);
  const query = /\?[^#]*/.exec(url)?.[0] ?? '';
  return `${path.replace(/^[/\\]*/, '/')}/${query}`;
}

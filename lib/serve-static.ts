/**
 * `ktls/serve-static`: the files of a directory over HTTP, their content by `sendFile`: with kernel TLS
 * from the page cache to the wire. For node:http, node:https and node:http2, Express and Connect, and
 * Fastify.
 */
import { answer, pathOf } from './static/handler.js';
import { type ServeStaticOptions, parseServeStatic } from './static/options.js';
import type { AnyRequest, AnyResponse } from './static/respond.js';
import type { Refusal } from './static/select.js';

export type { ServeStaticOptions } from './static/options.js';

/** A request listener, and middleware. */
export type StaticHandler = (
  request: AnyRequest,
  response: AnyResponse,
  next?: (error?: unknown) => void,
) => void;

/**
 * Serves the files below `root`: as the listener of an `http.Server`, or as middleware of Express or
 * Connect. Requests for what is not there go on to `next`, if there is one.
 *
 * Symbolic links are followed.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE`
 */
export default function serveStatic(root: string, options?: ServeStaticOptions): StaticHandler {
  const settings = parseServeStatic(root, options);
  return (request, response, next) => {
    // Where it is mounted Express cuts the beginning off `url`.
    const url = (request as { originalUrl?: string }).originalUrl ?? request.url!;
    const passOn = ({ status, cause }: Refusal): void => {
      if (status >= 500) next!(Object.assign(cause ?? new Error('No file'), { status }));
      else next!();
    };
    // The mount point itself, without a slash: a directory.
    const mounted =
      url !== request.url && pathOf(request.url!) === '/' && !pathOf(url).endsWith('/');
    const path = mounted ? '' : pathOf(request.url!);
    const passes = next !== undefined && settings.fallthrough;
    void answer(request, response, settings, { path, url, passOn: passes ? passOn : undefined });
  };
}

export { serveStatic };

/** What a Fastify instance has that is used here. */
export interface FastifyLike {
  readonly prefix: string;
  route(options: {
    method: ['GET', 'HEAD'];
    url: string;
    handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => unknown;
  }): unknown;
}
export interface FastifyRequestLike {
  readonly raw: AnyRequest;
  readonly params: unknown;
}
export interface FastifyReplyLike {
  readonly raw: AnyResponse;
  code(status: number): unknown;
  send(payload: unknown): unknown;
  hijack(): unknown;
  getHeaders(): Record<string, unknown>;
  callNotFound(): unknown;
}

export interface FastifyStaticOptions extends ServeStaticOptions {
  root: string;
  /** As of every plugin. */
  prefix?: string;
  logLevel?: string;
}

/**
 * The same as a Fastify plugin: `app.register(fastifyStatic, { root, prefix: '/files' })`. What is not
 * there goes to the not-found handler. Headers that hooks have set are sent; hooks do not see the content
 * ('onSend').
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE`, by way of `ready`.
 */
export function fastifyStatic(
  fastify: FastifyLike,
  { root, ...given }: FastifyStaticOptions,
  done: (error?: Error) => void,
): void {
  const options: Omit<FastifyStaticOptions, 'root'> = { ...given };
  delete options.prefix;
  delete options.logLevel;
  const settings = parseServeStatic(root, options);
  const handler = async (
    request: FastifyRequestLike,
    reply: FastifyReplyLike,
  ): Promise<unknown> => {
    const { raw } = request;
    const url = raw.url!;
    const { '*': decoded } = request.params as { '*'?: string };
    // The library decodes it again.
    const encoded = (decoded ?? '').split('/').map(encodeURIComponent).join('/');
    // The prefix itself, without a slash: a directory.
    const path = decoded === undefined && !pathOf(url).endsWith('/') ? '' : `/${encoded}`;
    const outcome = { passedOn: false };
    const passOn = ({ status, cause }: Refusal): void => {
      outcome.passedOn = true;
      if (status >= 500) {
        reply.code(status);
        reply.send(cause ?? new Error('No file'));
      } else {
        reply.callNotFound();
      }
    };
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value as string);
    }
    await answer(raw, reply.raw, settings, {
      path,
      url,
      passOn: settings.fallthrough ? passOn : undefined,
    });
    if (!outcome.passedOn) reply.hijack();
    return reply;
  };
  const urls = fastify.prefix === '' ? ['/*'] : ['/', '/*'];
  for (const url of urls) fastify.route({ method: ['GET', 'HEAD'], url, handler });
  done();
}

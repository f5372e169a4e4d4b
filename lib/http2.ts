/** `ktls/http2`: `node:http2` over kernel TLS. */
import http2 from 'node:http2';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectOptions, connectWith } from './connect.js';
import { type OffloadOptions, type OffloadSettings, parseOffload } from './options.js';
import { offload } from './server.js';

export type SecureServerOptions = http2.SecureServerOptions & OffloadOptions;
export type SecureClientSessionOptions = http2.SecureClientSessionOptions & OffloadOptions;

type RequestHandler = (
  request: http2.Http2ServerRequest,
  response: http2.Http2ServerResponse,
) => void;
type SessionListener = (session: http2.ClientHttp2Session, socket: Duplex) => void;

/**
 * `http2.createSecureServer`, with all its options and events (`allowHTTP1` too); accepted connections
 * are offloaded.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `mode`, and whatever `http2` throws.
 */
export function createSecureServer(
  options: SecureServerOptions,
  onRequest?: RequestHandler,
): http2.Http2SecureServer;
export function createSecureServer(onRequest?: RequestHandler): http2.Http2SecureServer;
export function createSecureServer(
  options?: SecureServerOptions | RequestHandler,
  onRequest?: RequestHandler,
): http2.Http2SecureServer {
  if (typeof options === 'function') return offload(http2.createSecureServer(options));
  parseOffload(options);
  return offload(http2.createSecureServer(options ?? {}, onRequest), options);
}

/**
 * `http2.connect`, over `ktls.connect` where the authority's scheme is `https:` and the options have no
 * `createConnection`.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `mode`, and whatever `http2.connect` throws.
 */
export function connect(
  authority: string | URL,
  options?: http2.ClientSessionOptions | SecureClientSessionOptions,
  listener?: SessionListener,
): http2.ClientHttp2Session;
export function connect(
  authority: string | URL,
  listener?: SessionListener,
): http2.ClientHttp2Session;
export function connect(
  authority: string | URL,
  options?: http2.ClientSessionOptions | SecureClientSessionOptions | SessionListener,
  listener?: SessionListener,
): http2.ClientHttp2Session {
  if (typeof options === 'function') return connect(authority, {}, options);
  const settings = parseOffload(options as OffloadOptions | undefined);
  const url = typeof authority === 'string' ? new URL(authority) : authority;
  if (url.protocol !== 'https:' || options?.createConnection !== undefined) {
    return http2.connect(authority, options, listener);
  }
  const createConnection = (): Duplex => connectSecure(url, options, settings);
  return http2.connect(authority, { ...options, createConnection }, listener);
}

/** With the options that `http2.connect` gives to `tls.connect`. */
function connectSecure(
  url: URL,
  options: SecureClientSessionOptions | undefined,
  settings: OffloadSettings,
): Duplex {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost';
  const port = url.port === '' ? 443 : Number(url.port);
  const { allowHTTP1 } = { ...options } as { allowHTTP1?: boolean };
  const secure: ConnectOptions = {
    ...(options as ConnectOptions),
    servername: options?.servername ?? (isIP(host) === 0 ? host : undefined),
    ALPNProtocols: allowHTTP1 === true ? ['h2', 'http/1.1'] : ['h2'],
  };
  return connectWith(settings, [port, host, secure]);
}

export default { connect, createSecureServer };

/** `ktls/https`: `node:https` whose servers and agent put their connections under kernel TLS. */
import type { ClientRequest, IncomingMessage, RequestListener } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { type ClientSocket, type ConnectOptions, connect } from './connect.js';
import { KtlsError } from './errors.js';
import { type Proxy, proxyOf } from './node-private.js';
import { type OffloadOptions, type OffloadSettings, parseOffload } from './options.js';
import { openTunnel } from './proxy-tunnel.js';
import { offload } from './server.js';

export type ServerOptions = https.ServerOptions & OffloadOptions;
export type AgentOptions = https.AgentOptions & OffloadOptions;
export type RequestOptions = https.RequestOptions;

/**
 * `https.createServer`, with all its options and events; accepted connections are offloaded.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `mode`, and whatever `https.createServer` throws.
 */
export function createServer(options: ServerOptions, listener?: RequestListener): https.Server;
export function createServer(listener?: RequestListener): https.Server;
export function createServer(
  options?: ServerOptions | RequestListener,
  listener?: RequestListener,
): https.Server {
  if (typeof options === 'function') return offload(https.createServer(options));
  parseOffload(options);
  return offload(https.createServer(options ?? {}, listener), options);
}

/**
 * `https.Agent` over `ktls.connect`: keep-alive, limits, 'keylog', the cache of TLS sessions and proxies
 * (`proxyEnv`, `NODE_USE_ENV_PROXY`) are as they are there. A connection through a tunnel of an `http:`
 * proxy is offloaded like any other; one within TLS to an `https:` proxy stays with node:tls.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `mode`.
 */
export class Agent extends https.Agent {
  readonly #settings: OffloadSettings;
  /** The oldest first. */
  readonly #sessions = new Map<string, Buffer>();

  constructor(options?: AgentOptions) {
    super(options);
    this.#settings = parseOffload(options);
  }

  /**
   * Called by Node for each new connection, with the options of the request and of the agent.
   *
   * @returns The connection, or nothing where `callback` gets it when there is a tunnel for it.
   */
  override createConnection(
    options: ConnectOptions & { socketPath?: string },
    callback?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    const proxy = this.#proxy();
    const { host = 'localhost', port = 443, socketPath, timeout = 0 } = options;
    // Whatever Node makes of it: not past the proxy, in any case.
    if (proxy === undefined) {
      if (this.#settings.mode !== 'require') return super.createConnection(options, callback);
      const error = new KtlsError('ERR_KTLS_NOT_TCP', 'the proxy is left to node:https');
      process.nextTick(() => callback?.(error, undefined as unknown as Duplex));
      return undefined;
    }
    if (proxy === null || socketPath || !proxy.shouldUseProxy(host, options.port)) {
      return this.#secure(options);
    }
    const keepAlive = options.keepAlive === true || this.maxSockets !== Infinity;
    openTunnel(proxy, { host, port, keepAlive, timeout }, (error, tunnel) => {
      if (tunnel === null) {
        callback?.(error, undefined as unknown as Duplex);
        return;
      }
      const socket = this.#secure({ ...options, socket: tunnel });
      if (timeout > 0) socket.setTimeout(timeout);
      callback?.(null, socket);
    });
    return undefined;
  }

  /** `http.setGlobalProxyFromEnv` gives Node's own global agent another one. */
  #proxy(): Proxy | null | undefined {
    const own = proxyOf(this);
    return own === null && this === globalAgent ? proxyOf(https.globalAgent) : own;
  }

  #secure(options: ConnectOptions): ClientSocket {
    const name = this.getName(options);
    const session = this.#sessions.get(name);
    const socket = connect({ ...(session && { session }), ...options, ...this.#settings });
    socket.on('session', (fresh: Buffer) => {
      this.#keep(name, fresh);
    });
    socket.once('close', (hadError: boolean) => {
      if (hadError) this.#sessions.delete(name);
    });
    return socket;
  }

  #keep(name: string, session: Buffer): void {
    const { maxCachedSessions } = this as unknown as { maxCachedSessions: number };
    if (maxCachedSessions === 0) return;
    if (!this.#sessions.has(name) && this.#sessions.size >= maxCachedSessions) {
      const [oldest] = this.#sessions.keys();
      this.#sessions.delete(oldest!);
    }
    this.#sessions.set(name, session);
  }
}

/** What `request` and `get` use, with the settings of `https.globalAgent`. */
export const globalAgent = new Agent({ ...https.globalAgent.options });

type Arguments = [
  url: string | URL | RequestOptions,
  options?: RequestOptions | ((response: IncomingMessage) => void),
  callback?: (response: IncomingMessage) => void,
];

/** `https.request` over the agent of this module, unless the options name another. */
export function request(
  options: RequestOptions | string | URL,
  callback?: (response: IncomingMessage) => void,
): ClientRequest;
export function request(
  url: string | URL,
  options: RequestOptions,
  callback?: (response: IncomingMessage) => void,
): ClientRequest;
export function request(...[first, second, third]: Arguments): ClientRequest {
  if (typeof first !== 'string' && !isUrl(first)) {
    return https.request(withAgent(first), second as (response: IncomingMessage) => void);
  }
  const [options, callback] = typeof second === 'function' ? [{}, second] : [second ?? {}, third];
  return https.request(first, withAgent(options), callback);
}

/** `request`, ended at once. */
export function get(
  options: RequestOptions | string | URL,
  callback?: (response: IncomingMessage) => void,
): ClientRequest;
export function get(
  url: string | URL,
  options: RequestOptions,
  callback?: (response: IncomingMessage) => void,
): ClientRequest;
export function get(...args: Arguments): ClientRequest {
  const outgoing = request(...(args as Parameters<typeof request>));
  outgoing.end();
  return outgoing;
}

/** As node:https tells them apart: a URL may be of another realm or library. */
function isUrl(value: RequestOptions | URL): value is URL {
  const { href, protocol, auth, path } = value as Partial<URL & RequestOptions>;
  return Boolean(href && protocol) && auth === undefined && path === undefined;
}

function withAgent(options: RequestOptions): RequestOptions {
  const { agent, createConnection } = options;
  if (agent === false) return { ...options, agent: new Agent() };
  if (agent || typeof createConnection === 'function') return options;
  return { ...options, agent: globalAgent };
}

export { Server } from 'node:https';
export default { Agent, createServer, get, globalAgent, request, Server: https.Server };

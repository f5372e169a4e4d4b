/** The proxy of one of Node's agents: its option `proxyEnv`, and `NODE_USE_ENV_PROXY` (Node 24.5, 22.21). */
import type { Agent } from 'node:https';

/** As Node has made it of `HTTPS_PROXY` and `NO_PROXY`. */
export interface Proxy {
  /** Without its password. */
  readonly href: string;
  readonly protocol: 'http:' | 'https:';
  /** For `proxy-authorization`. */
  readonly auth?: string | undefined;
  readonly proxyConnectionOptions: { readonly host: string; readonly port: number };
  shouldUseProxy(host: string, port: number | string | null | undefined): boolean;
}

const nodeHasProxies = process.allowedNodeEnvironmentFlags.has('--use-env-proxy');

/**
 * `null` if the agent has none; `undefined` if it has been given an environment, and where it keeps what it
 * has made of that cannot be seen.
 */
export function proxyOf(agent: Agent): Proxy | null | undefined {
  const { proxyEnv } = agent.options as { proxyEnv?: unknown };
  if (!nodeHasProxies || typeof proxyEnv !== 'object' || proxyEnv === null) return null;
  const symbol = Object.getOwnPropertySymbols(agent).find(
    ({ description }) => description === 'kProxyConfig',
  );
  return symbol && (agent as unknown as Record<symbol, Proxy | null>)[symbol];
}

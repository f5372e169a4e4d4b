/** A tunnel through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6), as the agents of Node make one. */
import * as http from 'node:http';
import * as https from 'node:https';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { nodeError } from './errors.js';
import type { Proxy } from './node-private.js';

export interface TunnelOptions {
  readonly host: string;
  readonly port: number | string;
  /** The proxy may keep the connection for more than one request. */
  readonly keepAlive: boolean;
  /** In milliseconds; none if 0. */
  readonly timeout: number;
}

/**
 * @param done - Gets the connection to the host behind the proxy, plain as yet, from which nobody has read;
 * or an error as Node's own: `ERR_PROXY_TUNNEL` with the proxy's `statusCode` or `proxyTunnelTimeout`, or
 * that of the connection to the proxy.
 */
export function openTunnel(
  proxy: Proxy,
  { host, port, keepAlive, timeout }: TunnelOptions,
  done: (error: Error | null, socket: Duplex | null) => void,
): void {
  const target = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const { request } = proxy.protocol === 'https:' ? https : http;
  const connecting = request({
    ...proxy.proxyConnectionOptions,
    agent: false,
    method: 'CONNECT',
    path: target,
    headers: {
      host: target,
      connection: 'keep-alive',
      ...(keepAlive && { 'proxy-connection': 'keep-alive' }),
      ...(proxy.auth !== undefined && { 'proxy-authorization': proxy.auth }),
    },
  });
  const timer =
    timeout > 0
      ? setTimeout(() => {
          const what = `Connection to establish proxy tunnel timed out after ${timeout}ms`;
          connecting.destroy(tunnelError(what, { proxyTunnelTimeout: timeout }));
        }, timeout)
      : undefined;
  connecting.once('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer);
    // Of node:http and not of a system call: the proxy has ended without a word.
    const hungUp = error.code === 'ECONNRESET' && error.syscall === undefined;
    const what = 'Connection to establish proxy tunnel ended unexpectedly';
    done(hungUp ? tunnelError(what, {}) : error, null);
  });
  connecting.once('connect', (response, socket, head: Buffer) => {
    clearTimeout(timer);
    const { httpVersion, statusCode, statusMessage } = response;
    if (statusCode === 200) {
      // It may not be there; if it is, node:tls says what is wrong with it.
      if (head.length > 0) socket.unshift(head);
      done(null, socket);
      return;
    }
    socket.destroy();
    const status = `HTTP/${httpVersion} ${statusCode} ${statusMessage}`;
    const what = `Failed to establish tunnel to ${target} via ${proxy.href}: ${status}`;
    done(tunnelError(what, { statusCode }), null);
  });
  connecting.end();
}

function tunnelError(message: string, facts: object): Error {
  return Object.assign(nodeError('ERR_PROXY_TUNNEL', message), facts);
}

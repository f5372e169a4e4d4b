/** What hangs on the TLS object of a `TLSSocket`. */
import type { TLSSocket } from 'node:tls';
import { internals } from './internals.js';

/**
 * What a server's connection has its own certificate from, if that has one certificate and no other: the
 * server's context. `null` where the application chose a certificate for the connection, or may have.
 */
export function soleCertificateOf(socket: TLSSocket): object | null {
  const { _tlsOptions: options, _handle: handle } = socket as unknown as {
    _tlsOptions: { secureContext?: object; server?: ServerInternals };
    _handle: { sni_context?: object };
  };
  const { secureContext = null, server } = options;
  if (secureContext !== server?._sharedCreds) return null;
  if (handle.sni_context !== undefined || server.ALPNCallback != null) return null;
  const given = [server.cert, server.pfx].flat().filter((one) => one != null);
  return given.length === 1 ? secureContext : null;
}

/** Milliseconds: a server's option `handshakeTimeout`, as the socket has it from there. */
export function handshakeTimeoutOf(socket: TLSSocket): number {
  const { _tlsOptions: options } = socket as unknown as {
    _tlsOptions: { handshakeTimeout?: number };
  };
  return options.handshakeTimeout ?? 120_000;
}

/** Whether Node writes secrets to a file (`--tls-keylog`): later than it tells of them, so that they must not be wiped. */
export const keepsKeylog = [
  ...process.execArgv,
  ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/),
].some((option) => /^"?--tls[-_]keylog(=|$)/.test(option));

interface ServerInternals {
  _sharedCreds?: object;
  ALPNCallback?: unknown;
  cert?: unknown;
  pfx?: unknown;
}

/**
 * Frees the TLS object of a socket that nobody needs any more, and whose connection has gone elsewhere:
 * without the events of a socket that closes. Not to be called on OpenSSL's stack.
 */
export function freeTls(socket: TLSSocket): void {
  (socket as TLSSocket & { _destroySSL(): void })._destroySSL();
  // Its getters would look into what is gone.
  internals(socket)._handle = null;
}

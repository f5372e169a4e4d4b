/** How a `tls.Server` gets its connections, and what it expects to find on them. */
import type { Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer, TLSSocket } from 'node:tls';

/** The listener with which node:tls wraps an accepted connection. */
export type ConnectionListener = (this: TlsServer, socket: Duplex) => void;

/**
 * Puts `replacement` in the place of the listener with which every `tls.Server` (and `https.Server`,
 * `Http2SecureServer`) wraps accepted connections, and returns that listener; `undefined` if there is
 * none. The constructor adds it first, so it is the first listener of 'connection'.
 */
export function replaceConnectionListener(
  server: NetServer,
  replacement: (socket: Socket) => void,
): ConnectionListener | undefined {
  const original = server.listeners('connection')[0] as ConnectionListener | undefined;
  if (original?.name !== 'tlsConnectionListener') return undefined;
  server.removeListener('connection', original as (...args: unknown[]) => void);
  server.prependListener('connection', replacement);
  server.on('newListener', (event) => {
    if (event === 'connection') everListenedTo.add(server);
  });
  return original;
}

/**
 * Whether anybody but the server itself is told, or has ever been told, of its connections: who stood in front and
 * was called once is no listener any more when the server's own is called.
 */
export function tellsOthers(server: NetServer): boolean {
  return everListenedTo.has(server) || server.listenerCount('connection') !== 1;
}
const everListenedTo = new WeakSet<NetServer>();

/** `server.pauseOnConnect`: whether new sockets start paused. */
export function pausesOnConnect(server: NetServer): boolean {
  return (server as NetServer & { pauseOnConnect?: boolean }).pauseOnConnect === true;
}

/** `socket.server`: http2 with `allowHTTP1` writes to it what it expects to find on the server. */
export function setServer(socket: TLSSocket, server: TlsServer): void {
  (socket as TLSSocket & { server: TlsServer }).server = server;
}

/**
 * A server that is `server` in everything but what `overrides` says, for one connection: node:tls asks
 * it for options, contexts and listener counts (all inherited, so changes made later are seen) and emits
 * its events on it.
 */
export function serverFacade(
  server: TlsServer,
  overrides: Pick<TlsServer, 'listenerCount'> & {
    emit: (event: string | symbol, ...args: unknown[]) => boolean;
  },
): TlsServer {
  return Object.assign(Object.create(server) as TlsServer, overrides);
}

/**
 * For a facade: the server's `pskCallback`, told of the socket that `socketOf` returns instead of the one on
 * which node:tls does the handshake.
 */
export function pskCallbackWith(server: TlsServer, socketOf: () => Socket): object {
  const symbol = Object.getOwnPropertySymbols(server).find(
    ({ description }) => description === 'pskcallback',
  );
  if (symbol === undefined) return {};
  const callback = (server as unknown as Record<symbol, PskCallback | null | undefined>)[symbol];
  if (typeof callback !== 'function') return {};
  return {
    [symbol]: (_inner: TLSSocket, identity: string) => {
      const socket = socketOf();
      return callback.call(socket, socket, identity);
    },
  };
}

type PskCallback = (this: Socket, socket: Socket, identity: string) => unknown;

/** What `net.Socket` keeps to itself: its handle, its counts, its timer, how it connects. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { type TcpHandle, internals } from './internals.js';

/** The live handle of a socket, or `null` once it is closed. */
export function handleOf(socket: Socket): TcpHandle | null {
  return internals(socket)._handle;
}

/**
 * What a `net.Socket` writes to, or will once it is connected: a descriptor, of a TCP or Unix socket, or
 * node:tls. `null` for a subclass that has a way of writing of its own.
 */
export function writesTo(socket: Socket): 'fd' | 'tls' | null {
  const { prototype } = Socket;
  if (socket._write !== prototype._write || socket._writev !== prototype._writev) return null;
  const handle = internals(socket)._handle;
  if (handle === null) return socket.connecting ? 'fd' : null;
  const { name } = handle.constructor;
  if (name === 'TCP' || name === 'Pipe') return 'fd';
  return name === 'TLSWrap' ? 'tls' : null;
}

/** `socket.bytesWritten` as `net.Socket` counts it, an accessor that its types do not show. */
export function bytesWritten(socket: Socket): number {
  const bytes = Reflect.get(Socket.prototype, 'bytesWritten', socket) as number | undefined;
  return bytes ?? 0;
}

/** `socket.bytesRead` as `net.Socket` counts it: what came by way of its handle. */
export function bytesRead(socket: Socket): number {
  const bytes = Reflect.get(Socket.prototype, 'bytesRead', socket) as number | undefined;
  return bytes ?? 0;
}

/** The handle of a socket of node:tls, which stands on another, that a socket of its own may have. */
interface TlsHandle {
  readonly _parent?: TcpHandle;
  readonly _parentWrap?: Socket | null;
}

const resetOnDestroy = (socket: Socket): void => {
  (socket as Socket & { resetAndClosing?: boolean }).resetAndClosing = true;
};

/**
 * Destroys a TCP socket, or one of node:tls on it, with an error and sends RST: `resetAndDestroy` takes no
 * error, and none of node:tls's sockets. What is not TCP is closed.
 *
 * @param tcp - Has the TCP handle, and is destroyed with the socket: perhaps another one.
 */
export function resetWith(socket: Socket, error: Error, tcp = socket): void {
  if (socket.destroyed) return;
  if (tcp !== socket) {
    resetOnDestroy(tcp);
    socket.destroy(error);
    return;
  }
  const { _parent: below, _parentWrap: raw } = (handleOf(socket) ?? {}) as TlsHandle;
  if (below === undefined) {
    resetOnDestroy(socket);
  } else if (below.reset !== undefined) {
    if (raw) resetOnDestroy(raw);
    else resetOnClose(below);
  }
  socket.destroy(error);
}

function resetOnClose(handle: TcpHandle): void {
  const close = handle.close.bind(handle);
  handle.close = (callback) => {
    // While it ends, it cannot be reset any more.
    if (handle.reset!(callback) !== 0) close(callback);
  };
}

/** Restarts the socket's idle timer, as Node does whenever bytes move. */
export function touchTimeout(socket: Socket): void {
  internals(socket)._unrefTimer();
}

/** `socket.connecting`, which keeps consumers (http, http2) from using the socket yet. */
export function setConnecting(socket: Socket, connecting: boolean): void {
  (socket as unknown as Record<'connecting', boolean>).connecting = connecting;
}

/** Has a socket know its peer's address although it is connecting: Node, which keeps it, asks for none then. */
export function learnPeer(socket: Socket): void {
  const { connecting } = socket;
  setConnecting(socket, false);
  Reflect.get(socket, 'remoteAddress');
  setConnecting(socket, connecting);
}

/**
 * Has a socket know both its addresses when it is destroyed, of which Node keeps the peer's, and that only if
 * it was asked: the first who is told that a connection has failed may destroy it, and the others log from whom
 * it came.
 */
export function keepAddresses(socket: Socket): void {
  // A server may be given any stream.
  if (!(socket instanceof Socket)) return;
  learnPeer(socket);
  const local = internals(socket)._getsockname();
  internals(socket)._getsockname = () => local;
}

/** The name that was looked up to connect the socket: node:tls verifies it if it was told no other. */
export function connectedHost(socket: Socket): string | undefined {
  return internals(socket)._host ?? undefined;
}

/** Answers for `connectedHost` of another socket, which may not know yet. */
export function presentHost(stream: Duplex, of: Socket): void {
  Object.defineProperty(stream, '_host', { configurable: true, get: () => connectedHost(of) });
}

/**
 * Whether an http2 session waits for this socket, or its server makes one when it is secured, whatever the
 * protocol is called: it is going to consume its handle.
 */
export function expectsHttp2Session(socket: Socket & Partial<TLSSocket>): boolean {
  const { server, alpnProtocol } = socket as { server?: TlsServer | null } & typeof socket;
  if (server) {
    const http2 = server.constructor.name === 'Http2SecureServer';
    return http2 && alpnProtocol !== false && alpnProtocol !== 'http/1.1';
  }
  // Bound to a socket by a symbol; Node 20 to 26 have it where http2 does not find it: the key is no symbol then.
  if (Object.hasOwn(socket, 'undefined')) return true;
  return Object.getOwnPropertySymbols(socket).some(
    ({ description }) => description === 'kBoundSession',
  );
}

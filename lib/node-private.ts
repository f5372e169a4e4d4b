/**
 * The only file that touches undocumented Node. Each function says which internal it relies on, and
 * is exercised by the tests on every supported Node, so that a change there shows at once.
 */
import { type Server as NetServer, type Socket, Socket as SocketClass } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer } from 'node:tls';

/** Node's `TCP` handle (`process.binding('tcp_wrap')`), as far as we use it. */
export interface TcpHandle {
  readonly fd: number;
  readonly bytesWritten: number;
  reading: boolean;
  readStart(): number;
  readStop(): number;
  close(callback?: () => void): void;
  reset?(callback?: () => void): number;
}

interface SocketInternals {
  _handle: (TcpHandle & object) | null;
  _unrefTimer(): void;
}
const internals = (socket: Socket): SocketInternals => socket as unknown as SocketInternals;

/**
 * The handle of a connected, plain TCP socket that nobody has read ahead from, or `null`. The class of
 * a handle is known by its constructor's name: Node does not export `TCP`.
 */
export function plainTcpHandle(socket: Duplex): TcpHandle | null {
  const handle = internals(socket as Socket)._handle as (TcpHandle & object) | null | undefined;
  if (!handle || handle.constructor.name !== 'TCP') return null;
  const { connecting, destroyed, readableLength, writableLength } = socket as Socket;
  if (connecting || destroyed || readableLength > 0 || writableLength > 0) return null;
  return handle.fd >= 0 ? handle : null;
}

/**
 * Makes the handle one that only we read: the HTTP parser and http2 do not consume it (they look at
 * `isStreamBase`), and nobody in JavaScript starts libuv's reading, which would race with ours.
 */
export function claimReading(handle: TcpHandle): void {
  handle.readStop();
  handle.reading = false;
  Object.defineProperty(handle, 'isStreamBase', { value: false, configurable: true });
  handle.readStart = () => 0;
  handle.readStop = () => 0;
}

/** Undoes `claimReading`, for a connection that goes back to node:tls before a byte was read. */
export function releaseReading(handle: TcpHandle): void {
  const own = handle as Partial<TcpHandle> & { isStreamBase?: boolean };
  delete own.isStreamBase;
  delete own.readStart;
  delete own.readStop;
}

/** Calls `before` ahead of any close or reset of the handle, whoever asks for it. */
export function beforeClose(handle: TcpHandle, before: () => void): void {
  const close = handle.close.bind(handle);
  const reset = handle.reset?.bind(handle);
  handle.close = (callback) => {
    before();
    close(callback);
  };
  if (reset !== undefined) {
    handle.reset = (callback) => {
      before();
      return reset(callback);
    };
  }
}

/** The live handle of a socket, or `null` once it is closed. */
export function handleOf(socket: Socket): TcpHandle | null {
  return internals(socket)._handle;
}

/**
 * Whether what a `net.Socket` writes goes to a descriptor of its own, or will once it is connected: a TCP
 * or Unix socket of Node's, and no subclass that has a way of writing of its own.
 */
export function writesToFd(socket: Socket): boolean {
  const { prototype } = SocketClass;
  if (socket._write !== prototype._write || socket._writev !== prototype._writev) return false;
  const handle = internals(socket)._handle;
  if (handle === null) return socket.connecting;
  return handle.constructor.name === 'TCP' || handle.constructor.name === 'Pipe';
}

/** `socket.bytesWritten` as `net.Socket` counts it, an accessor that its types do not show. */
export function bytesWritten(socket: Socket): number {
  const bytes = Reflect.get(SocketClass.prototype, 'bytesWritten', socket) as number | undefined;
  return bytes ?? 0;
}

/** Destroys a TCP socket with an error and sends RST: `resetAndDestroy` takes no error. */
export function resetWith(socket: Socket, error: Error): void {
  if (socket.destroyed) return;
  (socket as Socket & { resetAndClosing?: boolean }).resetAndClosing = true;
  socket.destroy(error);
}

/** Restarts the socket's idle timer, as Node does whenever bytes move. */
export function touchTimeout(socket: Socket): void {
  internals(socket)._unrefTimer();
}

/**
 * Binds the accepted socket's life to the one that took its handle over: it answers for addresses and
 * options as before, whoever destroys it destroys `owner`, and when `owner` closes it closes too and
 * gives its place in the server's connection count back.
 */
export function shareHandle(accepted: Socket, owner: Socket): void {
  const destroy = accepted.destroy.bind(accepted);
  accepted.destroy = (error?: Error) => {
    owner.destroy(error);
    return accepted;
  };
  owner.once('close', () => {
    internals(accepted)._handle = null;
    accepted.destroy = destroy;
    accepted.destroy();
  });
}

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
  return original;
}

/** `socket.connecting`, which keeps consumers (http, http2) from using the socket yet. */
export function setConnecting(socket: Socket, connecting: boolean): void {
  (socket as unknown as Record<'connecting', boolean>).connecting = connecting;
}

/** `server.pauseOnConnect`: whether new sockets start paused. */
export function pausesOnConnect(server: NetServer): boolean {
  return (server as NetServer & { pauseOnConnect?: boolean }).pauseOnConnect === true;
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

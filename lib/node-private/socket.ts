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
 * Whether what a `net.Socket` writes goes to a descriptor of its own, or will once it is connected: a TCP
 * or Unix socket of Node's, and no subclass that has a way of writing of its own.
 */
export function writesToFd(socket: Socket): boolean {
  const { prototype } = Socket;
  if (socket._write !== prototype._write || socket._writev !== prototype._writev) return false;
  const handle = internals(socket)._handle;
  if (handle === null) return socket.connecting;
  return handle.constructor.name === 'TCP' || handle.constructor.name === 'Pipe';
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

/** `socket.connecting`, which keeps consumers (http, http2) from using the socket yet. */
export function setConnecting(socket: Socket, connecting: boolean): void {
  (socket as unknown as Record<'connecting', boolean>).connecting = connecting;
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
  const { server, alpnProtocol } = socket as { server?: TlsServer } & typeof socket;
  if (server?.constructor.name === 'Http2SecureServer') {
    return alpnProtocol !== false && alpnProtocol !== 'http/1.1';
  }
  return Object.getOwnPropertySymbols(socket).some(
    ({ description }) => description === 'kBoundSession',
  );
}

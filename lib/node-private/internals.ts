/** The members of `net.Socket` and of its handle that are not documented, by their types. */
import type { Server as NetServer, Socket } from 'node:net';

/** Node's `ShutdownWrap`, the end of the writing side on its way. */
export interface ShutdownRequest {
  oncomplete(...args: unknown[]): unknown;
}

/** Node's `TCP` handle (`process.binding('tcp_wrap')`), as far as we use it. */
export interface TcpHandle {
  readonly fd: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  reading: boolean;
  onread: unknown;
  readStart(): number;
  readStop(): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  getsockname(out: object): number;
  getpeername(out: object): number;
  setNoDelay(enable: boolean): number;
  setKeepAlive(enable: boolean, delay: number): number;
  shutdown(request: ShutdownRequest): number;
  close(callback?: () => void): void;
  reset?(callback?: () => void): number;
}

export interface SocketInternals {
  _handle: (TcpHandle & object) | null;
  _server?: NetServer | null;
  _host?: string | null;
  _parent: Socket | null;
  _unrefTimer(): void;
  /** What `localAddress`, `localPort`, `localFamily` and `address()` say. */
  _getsockname(): object;
}
export const internals = (socket: Socket): SocketInternals => socket as unknown as SocketInternals;

/** TCP handles: which of them can go under kernel TLS, and who reads and closes them then. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type ShutdownRequest, type TcpHandle, internals } from './internals.js';

/**
 * The handle of a connected, plain TCP socket that nobody has read ahead from, or `null`. The class of
 * a handle is known by its constructor's name: Node does not export `TCP`.
 */
export function plainTcpHandle(socket: Duplex): TcpHandle | null {
  const handle = pristineHandle(socket);
  if (handle === null || (socket as Socket).connecting) return null;
  return handle.fd >= 0 && handle.writeQueueSize === 0 ? handle : null;
}

/** Whether a socket is on its way to be what `plainTcpHandle` asks for. */
export function isConnectingTcp(socket: Duplex): boolean {
  return pristineHandle(socket) !== null && (socket as Socket).connecting;
}

/** A `TCP` handle whose socket holds nothing in either direction. */
function pristineHandle(socket: Duplex): TcpHandle | null {
  if (!(socket instanceof Socket)) return null;
  const handle = internals(socket)._handle;
  if (handle?.constructor.name !== 'TCP') return null;
  const { destroyed, readableLength, writableLength, readableEnded, writableEnded } = socket;
  const used = readableLength > 0 || writableLength > 0 || readableEnded || writableEnded;
  // TLS within TLS: our own sockets stand on a TCP handle too.
  const encrypted = (socket as Partial<TLSSocket>).encrypted === true;
  return destroyed || used || encrypted ? null : handle;
}

const nothing = (): number => 0;

/**
 * Makes the handle one that only we read: nobody in JavaScript starts libuv's reading, which would race
 * with ours.
 */
export function claimReading(handle: TcpHandle): void {
  handle.readStop();
  handle.reading = false;
  handle.readStart = nothing;
  handle.readStop = nothing;
}

/**
 * Calls `during` while libuv is about to read from a handle that was claimed: so the addon finds its
 * stream. Nothing is read. `null` if the handle cannot read.
 */
export function whileReading<T>(handle: TcpHandle, during: () => T): T | null {
  const itself = Object.getPrototypeOf(handle) as TcpHandle;
  if (itself.readStart.call(handle) !== 0) return null;
  try {
    return during();
  } finally {
    itself.readStop.call(handle);
  }
}

const fedBy = Symbol('ktls.fedBy');

/** Who feeds a handle is told what its consumer wants. */
export interface Feeder {
  read(): void;
  pause(): void;
}

interface Fed extends TcpHandle {
  [fedBy]: Feeder;
}

function startFeeding(this: Fed): number {
  this[fedBy].read();
  return 0;
}

function stopFeeding(this: Fed): number {
  this[fedBy].pause();
  return 0;
}

/** What starts and stops the reading of a claimed handle (`net.Socket`, http) does that to `feeder`. */
export function feedBy(handle: TcpHandle, feeder: Feeder): void {
  (handle as Fed)[fedBy] = feeder;
  // Whoever had the handle before may have wanted to read; whoever has it now asks again.
  handle.reading = false;
  handle.readStart = startFeeding;
  handle.readStop = stopFeeding;
}

/** Whether the handle of a socket, or of the one it was taken from, reads into its user's own buffer. */
export function readsIntoUserBuffer(socket: Socket): boolean {
  const { _parent: owner } = internals(socket);
  if (owner === null) return false;
  const symbol = Object.getOwnPropertySymbols(owner).find(
    ({ description }) => description === 'kBuffer',
  );
  return symbol === undefined || (owner as unknown as Record<symbol, unknown>)[symbol] !== null;
}

/** Makes the HTTP/1 parser leave the handle to JavaScript: it looks at `isStreamBase`. */
export function refuseConsumers(handle: TcpHandle): void {
  Object.defineProperty(handle, 'isStreamBase', { value: false, configurable: true });
}

/** Whether node:tls reads the handle for a connection of its own: then `reading` is an accessor that it has defined. */
export function isUnderTls(handle: TcpHandle): boolean {
  return Object.getOwnPropertyDescriptor(handle, 'reading')?.get !== undefined;
}

const closedFirst = Symbol('ktls.closedFirst');
const shuttingDown = Symbol('ktls.shuttingDown');

interface Preceded extends TcpHandle {
  [closedFirst]: { close(): void };
  [shuttingDown]: boolean;
}

/** The class's own method: the handle's property is ours. */
const native = (handle: TcpHandle): Required<TcpHandle> =>
  Object.getPrototypeOf(handle) as Required<TcpHandle>;

function close(this: Preceded, callback?: () => void): void {
  this[closedFirst].close();
  native(this).close.call(this, callback);
}

function shutdown(this: Preceded, request: ShutdownRequest): number {
  const complete = request.oncomplete.bind(request);
  request.oncomplete = (...args) => {
    this[shuttingDown] = false;
    return complete(...args);
  };
  const result = native(this).shutdown.call(this, request);
  this[shuttingDown] = result === 0;
  return result;
}

function reset(this: Preceded, callback?: () => void): number {
  this[closedFirst].close();
  // libuv refuses to reset what is being shut down, and the handle could never be closed again.
  if (!this[shuttingDown]) return native(this).reset.call(this, callback);
  native(this).close.call(this, callback);
  return 0;
}

/** Closes `first` ahead of any close or reset of the handle, whoever asks for it. */
export function closeFirst(handle: TcpHandle, first: { close(): void }): void {
  const preceded = handle as Preceded;
  preceded[closedFirst] = first;
  preceded[shuttingDown] = false;
  handle.close = close;
  handle.shutdown = shutdown;
  if (handle.reset !== undefined) handle.reset = reset;
}

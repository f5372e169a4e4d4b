/** How a socket takes the connection of another. */
import { channel } from 'node:diagnostics_channel';
import type { Server as NetServer, Socket } from 'node:net';
import { type SocketInternals, type TcpHandle, internals } from './internals.js';
import { tellsOthers } from './server.js';

/** What a socket that was taken over does with its own life from then on. */
export interface TakenOver {
  /** The handle has changed hands: closing it is the owner's business. */
  handleGone(): void;
  /** The owner is destroyed. */
  release(): void;
}

/**
 * Binds the life of a socket to the one that takes its handle over, as node:tls does: it answers for
 * addresses and options as before, its idle timer runs on, whoever ends or destroys it does that to
 * `owner`, and when `owner` is destroyed (`release`) it is too, which gives its place in a server's
 * connection count back.
 */
export function bindLives(taken: Socket, owner: Socket): TakenOver {
  const self = internals(taken) as SocketInternals & Required<Pick<Socket, '_destroy' | '_final'>>;
  const { _destroy: destroy, _final: final } = self;
  const ref = taken.ref.bind(taken);
  const unref = taken.unref.bind(taken);
  let gone = false;
  self._destroy = (error, callback) => {
    owner.destroy(error ?? undefined);
    if (gone && self._handle !== null) self._handle = closingWith(owner, self._handle);
    destroy.call(taken, error, callback);
  };
  self._final = (callback) => {
    if (!gone) final.call(taken, callback);
    else owner.end(() => callback());
  };
  taken.ref = () => (gone ? (owner.ref(), taken) : ref());
  taken.unref = () => (gone ? (owner.unref(), taken) : unref());
  taken.on('error', (error) => owner.destroy(error));
  taken.once('close', () => owner.destroy());
  internals(owner)._parent = taken;
  return {
    handleGone: () => {
      gone = true;
    },
    release: () => void taken.destroy(),
  };
}

/**
 * What a socket closes in the place of its handle, which is closed with the owner: it then says 'close' as it
 * does of any handle, next to the owner, and has counted what it had.
 */
function closingWith(owner: Socket, { bytesRead, bytesWritten }: TcpHandle): TcpHandle {
  const close = (closed?: () => void): number => {
    // In front of the owner's listeners: one of them may throw.
    if (closed) owner.prependOnceListener('close', () => process.nextTick(closed));
    return 0;
  };
  return { bytesRead, bytesWritten, close, reset: close } as Partial<TcpHandle> as TcpHandle;
}

/**
 * Whether nobody but the server's own listener of 'connection' has seen, or is going to see, a socket: the server
 * has accepted it itself, and tells nobody else.
 */
export function isUnseen(accepted: Socket, server: NetServer): boolean {
  if (internals(accepted)._server !== server) return false;
  return !tellsOthers(server) && !acceptedSockets.hasSubscribers;
}
const acceptedSockets = channel('net.server.socket');

/** Puts `successor` in the place of an accepted socket, also in the server's count; nobody needs that any more. */
export function succeed(accepted: Socket, successor: Socket): void {
  const [old, young] = [internals(accepted), internals(successor)];
  old._handle = null;
  young._server = old._server ?? null;
  old._server = null;
}

/**
 * Gives a handle another socket: its callbacks (reads, completed writes, errors) go there from now on.
 * Whoever had it must not close it any more.
 */
export function adoptHandle(socket: Socket, handle: TcpHandle): void {
  setOwner(handle, socket, handle);
  internals(socket)._handle = handle;
}

/** A handle knows its socket by a symbol that Node does not export. */
export function setOwner(handle: object, socket: Socket, example: object): void {
  const symbol = Object.getOwnPropertySymbols(example).find(
    ({ description }) => description === 'owner_symbol',
  )!;
  (handle as Record<symbol, unknown>)[symbol] = socket;
}

/**
 * The `node:diagnostics_channel` names of this library. Messages carry no key material and no
 * application data.
 */
import { channel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { KtlsError } from './errors.js';

export interface OffloadMessage {
  socket: Socket;
  version: string;
  cipher: string;
}
export interface RefusalMessage {
  socket: Socket;
  reason: KtlsError;
}

export interface RekeyMessage {
  socket: Socket;
  /** `'tx'`: our own key has changed, `'rx'`: the peer's. */
  direction: 'tx' | 'rx';
  /** Who wanted it: the peer, the limit of records under one key, or `updateKeys()`. */
  cause: 'peer' | 'limit' | 'application';
}
export interface ErrorMessage {
  socket: Socket;
  error: Error;
}

/** A connection went under kernel TLS, both directions. */
export const offloadChannel = channel('ktls:offload');
/** A connection stays with node:tls, and why. */
export const refusalChannel = channel('ktls:refusal');

/** The key of one direction of a connection under kernel TLS has changed. */
export const rekeyChannel = channel('ktls:rekey');
/** A socket is being destroyed with an error, during its handshake or later. */
export const errorChannel = channel('ktls:error');

export function publishOffload(message: OffloadMessage): void {
  if (offloadChannel.hasSubscribers) offloadChannel.publish(message);
}
export function publishRefusal(message: RefusalMessage): void {
  if (refusalChannel.hasSubscribers) refusalChannel.publish(message);
}
export function publishRekey(message: RekeyMessage): void {
  if (rekeyChannel.hasSubscribers) rekeyChannel.publish(message);
}
export function publishError(message: ErrorMessage): void {
  if (errorChannel.hasSubscribers) errorChannel.publish(message);
}

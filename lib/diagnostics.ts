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

/** A connection went under kernel TLS, both directions. */
export const offloadChannel = channel('ktls:offload');
/** A connection stays with node:tls, and why. */
export const refusalChannel = channel('ktls:refusal');

export function publishOffload(message: OffloadMessage): void {
  if (offloadChannel.hasSubscribers) offloadChannel.publish(message);
}
export function publishRefusal(message: RefusalMessage): void {
  if (refusalChannel.hasSubscribers) refusalChannel.publish(message);
}

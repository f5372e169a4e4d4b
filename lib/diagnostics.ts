/**
 * The `node:diagnostics_channel` names of this library, and what `NODE_DEBUG=ktls` prints. Messages carry no key material and no
 * application data.
 */
import { channel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { debuglog } from 'node:util';
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

const debug = debuglog('ktls');

export function publishOffload(message: OffloadMessage): void {
  if (offloadChannel.hasSubscribers) offloadChannel.publish(message);
  if (!debug.enabled) return;
  const { socket, version, cipher } = message;
  debug('%s offloaded: %s %s', ends(socket), version, cipher);
}
export function publishRefusal(message: RefusalMessage): void {
  if (refusalChannel.hasSubscribers) refusalChannel.publish(message);
  if (!debug.enabled) return;
  const { socket, reason } = message;
  debug('%s not offloaded: %s: %s', ends(socket), reason.code, reason.message);
}

function ends({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  // A client that is still connecting has none.
  if (remoteAddress === undefined) return 'a connection';
  return `${localAddress}:${localPort} to ${remoteAddress}:${remotePort}`;
}

/** Something that concerns the whole process. */
export function report(text: string): void {
  debug(text);
}

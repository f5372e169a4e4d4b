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
/** A handshake has failed, or a socket is being destroyed with an error: once a socket. */
export const errorChannel = channel('ktls:error');

const debug = debuglog('ktls');

export function publishOffload(
  socket: Socket,
  { protocol, cipher }: { protocol: string | null; cipher: { name: string } },
): void {
  const message: OffloadMessage = { socket, version: protocol!, cipher: cipher.name };
  if (offloadChannel.hasSubscribers) offloadChannel.publish(message);
  if (debug.enabled) debug('%s offloaded: %s %s', ends(socket), message.version, cipher.name);
}
export function publishRefusal(message: RefusalMessage): void {
  if (refusalChannel.hasSubscribers) refusalChannel.publish(message);
  if (!debug.enabled) return;
  const { socket, reason } = message;
  debug('%s not offloaded: %s: %s', ends(socket), reason.code, reason.message);
}

export function publishRekey(message: RekeyMessage): void {
  if (rekeyChannel.hasSubscribers) rekeyChannel.publish(message);
}
export function publishError(message: ErrorMessage): void {
  if (errorChannel.hasSubscribers) errorChannel.publish(message);
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

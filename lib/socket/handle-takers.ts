/**
 * Who takes the handle of a client to read and write it in native code, at 'connect' or as soon as that has
 * passed: node:tls within it, an http2 session.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import * as node from '../node-private.js';

type Protocols = ConnectionOptions['ALPNProtocols'];
type EventName = string | symbol;

/** Whether node:tls has been put on the handle. */
export function isNested(socket: Socket): boolean {
  const handle = node.handleOf(socket);
  return handle !== null && node.isUnderTls(handle);
}

/** Whether an http2 session is there, or may be without our being able to tell. */
export function expectsHttp2(socket: TLSSocket, protocols: Protocols): boolean {
  return offersHttp2(protocols) || node.expectsHttp2Session(socket);
}

/** In either of the forms in which node:tls takes a list of protocols. */
function offersHttp2(protocols: Protocols): boolean {
  if (!ArrayBuffer.isView(protocols)) return protocols?.includes('h2') === true;
  const { buffer, byteOffset, byteLength } = protocols;
  return Buffer.from(buffer, byteOffset, byteLength).includes('\x02h2');
}

/**
 * Has `once` of a class ask what is really to be waited for. Not declared as a method of it, whose types would
 * have to be those of every event.
 */
export function redirectOnce<T extends EventEmitter>(
  prototype: T,
  awaited: (emitter: T, event: EventName) => EventName,
): void {
  Object.defineProperty(prototype, 'once', {
    configurable: true,
    writable: true,
    value(this: T, event: EventName, listener: () => void) {
      return EventEmitter.prototype.once.call(this, awaited(this, event), listener);
    },
  });
}

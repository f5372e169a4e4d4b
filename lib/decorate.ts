/**
 * A connection that is never going to be offloaded is node:tls's own socket, with nothing in between;
 * it only learns to say so.
 */
import type { CipherNameAndProtocol, TLSSocket } from 'node:tls';
import type { KtlsError } from './errors.js';
import { type OffloadState, refusedState } from './socket/offload-state.js';

/** A `TLSSocket` of node:tls that says why it is not offloaded. */
export interface UserSpaceSocket extends TLSSocket {
  readonly offload: OffloadState;
}

export function decorate(socket: TLSSocket, reason: KtlsError): UserSpaceSocket {
  return Object.defineProperty(socket, 'offload', {
    configurable: true,
    get: () =>
      Object.freeze({
        ...refusedState(reason, null),
        version: socket.getProtocol(),
        // `undefined` before the handshake is done, whatever its type says.
        cipher: (socket.getCipher() as CipherNameAndProtocol | undefined | null)?.name ?? null,
      }),
  }) as UserSpaceSocket;
}

/**
 * A connection that is never going to be offloaded is node:tls's own socket, with nothing in between; it
 * only learns to say so, and what our own sockets can beyond node:tls's.
 */
import type { CipherNameAndProtocol, TLSSocket } from 'node:tls';
import { KtlsError } from './errors.js';
import type { SendFileInit } from './options.js';
import { sendFile } from './send-file.js';
import type { FileSource } from './socket/file-source.js';
import { type OffloadState, refusedState } from './socket/offload-state.js';

/** A `TLSSocket` of node:tls that has the members of an `OffloadedSocket`. */
export interface UserSpaceSocket extends TLSSocket {
  /** Why it is not offloaded. */
  readonly offload: OffloadState;
  /** Always `null`: node:tls does not tell a close_notify from a FIN alone. */
  readonly closeNotifyReceived: null;
  /** As `OffloadedSocket.sendFile`; the file is read, and encrypted by node:tls, piece by piece. */
  sendFile(source: FileSource, options?: SendFileInit): Promise<number>;
  /** Always rejected, with `ERR_KTLS_NO_REKEY`: node:tls cannot. */
  updateKeys(options?: { requestPeer?: boolean }): Promise<void>;
}

/** Of all of them; as a class's own. */
const members: PropertyDescriptorMap = {
  closeNotifyReceived: { configurable: true, value: null },
  sendFile: {
    configurable: true,
    writable: true,
    value(this: TLSSocket, source: FileSource, options?: SendFileInit): Promise<number> {
      return sendFile(this, source, options);
    },
  },
  updateKeys: {
    configurable: true,
    writable: true,
    value: (): Promise<void> => Promise.reject(new KtlsError('ERR_KTLS_NO_REKEY')),
  },
};

export function decorate(socket: TLSSocket, reason: KtlsError): UserSpaceSocket {
  return Object.defineProperties(socket, {
    ...members,
    offload: {
      configurable: true,
      get: () =>
        Object.freeze({
          ...refusedState(reason, null),
          version: socket.getProtocol(),
          // `undefined` before the handshake is done, whatever its type says.
          cipher: (socket.getCipher() as CipherNameAndProtocol | undefined | null)?.name ?? null,
        }),
    },
  }) as UserSpaceSocket;
}

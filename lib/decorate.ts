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

const refusal = Symbol('ktls.refusal');

interface Refused extends TLSSocket {
  readonly [refusal]: KtlsError;
}

/**
 * Of all of them; as a class's own. A getter for each socket would make each an object of a shape of its
 * own, which V8 keeps as a dictionary.
 */
const members: PropertyDescriptorMap = {
  offload: {
    configurable: true,
    get(this: Refused): OffloadState {
      return Object.freeze({
        ...refusedState(this[refusal], null),
        version: this.getProtocol(),
        // `undefined` before the handshake is done, whatever its type says.
        cipher: (this.getCipher() as CipherNameAndProtocol | undefined | null)?.name ?? null,
      });
    },
  },
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
  Object.defineProperty(socket, refusal, { value: reason });
  return Object.defineProperties(socket, members) as UserSpaceSocket;
}

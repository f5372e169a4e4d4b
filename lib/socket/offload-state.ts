/** What the kernel does for one connection, in the words of `socket.offload`. */
import type { KtlsError, KtlsErrorCode } from '../errors.js';
import type { Channel } from '../kernel/binding.js';
import type { Negotiated } from '../handshake/negotiated.js';

/**
 * Who does the record layer of one direction: the network card (`device`), the kernel (`software`), the
 * kernel where it will not say which of the two (`kernel`: before Linux 6.15 the answer needs
 * CAP_NET_ADMIN), or node:tls in user space (`none`).
 */
export type OffloadMedium = 'device' | 'software' | 'kernel' | 'none';

export interface OffloadState {
  readonly offloaded: boolean;
  readonly tx: OffloadMedium;
  readonly rx: OffloadMedium;
  /** As `getProtocol()`: `'TLSv1.3'`; `null` before the handshake is done. */
  readonly version: string | null;
  /** As `getCipher().name`. */
  readonly cipher: string | null;
  /** Whether `sendfile` skips its copy (`TLS_TX_ZEROCOPY_RO`). */
  readonly zeroCopy: boolean;
  /** Why the connection is not offloaded: a code of `docs/errors.md` and its sentence. */
  readonly reason: KtlsErrorCode | null;
  readonly detail: string | null;
}

/** The state of a connection that node:tls carries. */
export function refusedState(reason: KtlsError, negotiated: Negotiated | null): OffloadState {
  return Object.freeze({
    offloaded: false,
    tx: 'none',
    rx: 'none',
    version: negotiated?.protocol ?? null,
    cipher: negotiated?.cipher.name ?? null,
    zeroCopy: false,
    reason: reason.code,
    detail: reason.message,
  });
}

/** The state before the hand-over. */
export const pendingState: OffloadState = Object.freeze({
  offloaded: false,
  tx: 'none',
  rx: 'none',
  version: null,
  cipher: null,
  zeroCopy: false,
  reason: null,
  detail: null,
});

/** Asks the kernel (`sock_diag`). */
export function kernelState(channel: Channel, negotiated: Negotiated): OffloadState {
  const mode = channel.tlsMode();
  return Object.freeze({
    offloaded: true,
    tx: medium(mode < 0 ? 0 : mode & 0xf),
    rx: medium(mode < 0 ? 0 : mode >> 4),
    version: negotiated.protocol,
    cipher: negotiated.cipher.name,
    zeroCopy: false,
    reason: null,
    detail: null,
  });
}

/** Whether the kernel was told that it may; only a network card makes use of it. */
export function withZeroCopy(state: OffloadState, allowed: boolean): OffloadState {
  const zeroCopy = allowed && state.tx === 'device';
  return zeroCopy === state.zeroCopy ? state : Object.freeze({ ...state, zeroCopy });
}

/** `TLS_CONF_*` of `<linux/tls.h>`. */
function medium(conf: number): OffloadMedium {
  return conf === 2 ? 'software' : conf === 3 ? 'device' : 'kernel';
}

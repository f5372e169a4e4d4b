/**
 * Puts a connection under kernel TLS. This file holds the commit point: up to the first key that the
 * kernel accepts a connection may still go back to node:tls; from there on it is under kernel TLS or it
 * is dead, and never half in clear.
 */
import { KtlsError, errnoError } from '../errors.js';
import { type CipherSuite } from '../tls/cipher-suites.js';
import { kernelMaterial } from '../tls/key-schedule.js';
import { type Channel, Direction } from './binding.js';
import type { Plan, SendState } from './plan.js';
import { isShortage } from './question.js';

/** A connection under kernel TLS, in the kernel's terms. */
export interface Installed {
  readonly suite: CipherSuite;
  readonly version: number;
  /** Where TCP's byte count and the record sequence stood when the kernel took over. */
  readonly bytesInTcp: number;
  readonly firstSendSequence: bigint;
  /** The most bytes of plaintext that the peer takes in a record, if it has said so. */
  readonly fragmentLimit: number | null;
}

/**
 * Sets both keys.
 *
 * @param send - Where node:tls stopped sending; it must be idle on a record boundary.
 * @returns What was installed, or the refusal if the kernel took nothing: node:tls may go on then.
 * @throws KtlsError `ERR_KTLS_INSTALL` after the commit point. The connection must be destroyed.
 */
export function install(channel: Channel, plan: Plan, send: SendState): Installed | KtlsError {
  const { suite, fragmentLimit } = plan;
  const { version, kernelCipher } = suite;
  const keys = plan.deriveKeys();
  try {
    const bytesInTcp = channel.bytesInTcp();
    // Without a count that closing can start from the last record could be lost.
    if (bytesInTcp < 0) {
      const cause = errnoError(bytesInTcp, 'getsockopt');
      return new KtlsError('ERR_KTLS_SANDBOX', `TCP_INFO: ${cause.message}`, cause);
    }
    const tx = channel.installKeys(
      Direction.TX,
      version,
      kernelCipher,
      kernelMaterial(suite, keys.send, send.nextNonce, send.sequence),
    );
    if (tx < 0) {
      const cause = errnoError(tx, 'setsockopt');
      const code = isShortage(tx) ? 'ERR_KTLS_RESOURCES' : 'ERR_KTLS_CIPHER';
      return new KtlsError(code, `TLS_TX: ${cause.message}`, cause);
    }

    // The commit point. What is sent from here on is encrypted by the kernel.
    if (fragmentLimit !== null) {
      refuseAfterCommit(channel.setMaxPayload(fragmentLimit), 'TLS_TX_MAX_PAYLOAD_LEN');
    }
    const rx = channel.installKeys(
      Direction.RX,
      version,
      kernelCipher,
      kernelMaterial(suite, keys.receive, peersNonce(suite), plan.receiveSequence),
    );
    refuseAfterCommit(rx, 'TLS_RX');
    return { suite, version, bytesInTcp, firstSendSequence: send.sequence, fragmentLimit };
  } finally {
    keys.wipe();
  }
}

function refuseAfterCommit(result: number, option: string): void {
  if (result >= 0) return;
  const cause = errnoError(result, 'setsockopt');
  throw new KtlsError('ERR_KTLS_INSTALL', `${option}: ${cause.message}`, cause);
}

/** The kernel takes the peer's explicit nonces from the records themselves, but wants the field filled. */
function peersNonce({ explicitNonceLength }: CipherSuite): Buffer | null {
  return explicitNonceLength > 0 ? Buffer.alloc(explicitNonceLength) : null;
}

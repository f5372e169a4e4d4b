/** What the kernel's TLS can beyond encrypting and decrypting, found by asking it on a loopback connection. */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { loadBinding } from './binding.js';
import { KernelCipher } from '../tls/cipher-suites.js';
import { kernelRefusal, probeRekey } from './probe.js';
import { Question, isShortage } from './question.js';

const { ECANCELED } = constants.errno;

/** Each `0`, or the negated errno with which the kernel answered; `-ECANCELED`: it could not be asked. */
export interface KernelFeatures {
  /** `TLS_TX_ZEROCOPY_RO`: `sendfile` without a copy, on a device that encrypts (Linux 5.19). */
  readonly zeroCopy: number;
  /**
   * `TLS_RX_EXPECT_NO_PAD`: decryption straight into the reader's buffer (Linux 6.0). `-EBADMSG`: a record that
   * is padded all the same arrives with its padding (CVE-2026-74611).
   */
  readonly noPad: number;
  /** `TLS_TX_MAX_PAYLOAD_LEN`: shorter records on demand (Linux 6.19). */
  readonly maxPayload: number;
  /** New keys on a running TLS 1.3 connection (Linux 6.14). */
  readonly rekey: number;
}

interface Answer {
  readonly features: KernelFeatures;
  /** `0`, or what kept it from asking. */
  readonly ready: number;
  readonly isLasting: boolean;
}

const features = new Question(ask, ({ isLasting }) => isLasting);

/** Probes once a process (and worker), as `probe` does. Never throws. */
export function kernelFeatures(): KernelFeatures {
  return features.answer().features;
}

/** Why a connection whose records must be shorter than 16 KiB cannot be offloaded, or `null`. */
export function recordLimitRefusal(): KtlsError | null {
  const { ready, features: found } = features.answer();
  if (found.maxPayload === 0) return null;
  const cause = errnoError(ready || found.maxPayload, 'getsockopt');
  const code = isShortage(ready) ? 'ERR_KTLS_RESOURCES' : 'ERR_KTLS_FRAGMENT';
  return new KtlsError(code, cause.message, cause);
}

function ask(): Answer {
  const binding = loadBinding();
  const refusal = kernelRefusal();
  if (binding instanceof Error || refusal !== null) {
    const unknown = -ECANCELED;
    return {
      features: { zeroCopy: unknown, noPad: unknown, maxPayload: unknown, rekey: unknown },
      ready: unknown,
      isLasting: refusal?.code !== 'ERR_KTLS_RESOURCES',
    };
  }
  const [ready, zeroCopy, noPad, maxPayload] = binding.probeFeatures();
  const rekey = probeRekey(KernelCipher.aesGcm128);
  return {
    features: Object.freeze({ zeroCopy, noPad, maxPayload, rekey }),
    ready,
    isLasting: !isShortage(ready) && !isShortage(rekey),
  };
}

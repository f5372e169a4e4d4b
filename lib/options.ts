/** Raw options to frozen types. The only place that throws for a wrong option of ours. */
import { invalidArgument } from './errors.js';

/**
 * `prefer`: under kernel TLS where possible, else node:tls. `require`: a connection that cannot be
 * offloaded fails before any application byte. `off`: node:tls, always.
 */
export type OffloadMode = 'prefer' | 'require' | 'off';

/** Options of this library, beside those of node:tls. */
export interface OffloadOptions {
  /** Default `'prefer'`. */
  mode?: OffloadMode | undefined;
  /**
   * TLS 1.3: the number of records after which our own key is changed (RFC 8446 section 5.5), looked at
   * ahead of each write. Default 2^23, a third of what AES-GCM may protect. Kernels that cannot change keys
   * (before 6.14) go on, as node:tls does.
   */
  rekeyAfter?: number | undefined;
}

export const defaultRekeyAfter = 2 ** 23;

/** @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function parseMode(options: OffloadOptions | undefined): OffloadMode {
  const mode: unknown = options?.mode ?? 'prefer';
  if (mode === 'prefer' || mode === 'require' || mode === 'off') return mode;
  throw invalidArgument("option 'mode'", "must be 'prefer', 'require' or 'off'", mode);
}

/** @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function parseRekeyAfter(options: OffloadOptions | undefined): number {
  const records: unknown = options?.rekeyAfter ?? defaultRekeyAfter;
  if (typeof records === 'number' && Number.isSafeInteger(records) && records >= 1) return records;
  throw invalidArgument("option 'rekeyAfter'", 'must be a positive integer', records);
}

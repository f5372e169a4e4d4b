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
}

/** @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function parseMode(options: OffloadOptions | undefined): OffloadMode {
  const mode: unknown = options?.mode ?? 'prefer';
  if (mode === 'prefer' || mode === 'require' || mode === 'off') return mode;
  throw invalidArgument("option 'mode'", "must be 'prefer', 'require' or 'off'", mode);
}

/** `KTLS=off|prefer|require`. @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function modeOfEnvironment(): OffloadMode {
  const { KTLS: mode = '' } = process.env;
  if (mode === '') return 'prefer';
  if (mode === 'prefer' || mode === 'require' || mode === 'off') return mode;
  throw invalidArgument(
    "environment variable 'KTLS'",
    "must be 'prefer', 'require' or 'off'",
    mode,
  );
}

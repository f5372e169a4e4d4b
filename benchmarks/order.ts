/** What `benchmarks/run.ts` is told, and how it answers. */
import type { DriverName } from './drivers/driver.js';
import type { Setting } from './machine.js';

/** Before a result's JSON on standard output. */
export const RESULT_MARK = 'ktls-bench-result ';

/** One trial, to be measured in one go. */
export interface Order extends Setting {
  readonly trial: string;
  readonly drivers: readonly DriverName[];
  readonly samples: number;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's name. */
  readonly cipher: string;
  readonly revision: string;
  /** Nothing may load the tls module, as the first use of it would. Only in a guest. */
  readonly barModule: boolean;
}

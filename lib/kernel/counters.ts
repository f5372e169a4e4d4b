/** The kernel's own TLS counters: what it has really done, for the whole network namespace. */
import { readFileSync } from 'node:fs';

/** `/proc/net/tls_stat` by counter name, such as `TlsTxSw` or `TlsDecryptError`. */
export type TlsCounters = Readonly<Record<string, number>>;

/**
 * The counters of the Linux TLS MIB (Documentation/networking/tls.rst, "Statistics"), or `null` where
 * the kernel has none: no TLS, or its module not loaded.
 */
export function tlsCounters(): TlsCounters | null {
  let text;
  try {
    text = readFileSync('/proc/net/tls_stat', 'latin1');
  } catch {
    return null;
  }
  const counters: Record<string, number> = {};
  for (const [, name, value] of text.matchAll(/^(\w+)\s+(\d+)/gm)) {
    counters[name!] = Number(value);
  }
  return Object.freeze(counters);
}

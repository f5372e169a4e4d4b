/** Everything countable about kernel TLS on this host: the kernel, its network cards, its sockets. */
import { readdirSync } from 'node:fs';
import { type TlsCounters, tlsCounters } from './counters.js';
import { interfaceStatistics } from './ethtool.js';
import { type TlsSocket, tlsSockets } from './tls-sockets.js';

export interface StatsOptions {
  /** The TLS counters of network cards too. */
  interfaces?: boolean | undefined;
  /** Every socket under kernel TLS too. Takes as long as the kernel needs to walk its table of sockets. */
  sockets?: boolean | undefined;
}

export interface HostStats {
  readonly counters: TlsCounters | null;
  /** The drivers' TLS counters (`tx_tls_*`, `rx_tls_*`) of the interfaces that have any, by name. */
  readonly interfaces: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** `null` if not asked for, or if nobody can tell. */
  readonly sockets: readonly TlsSocket[] | null;
}

/**
 * The kernel's TLS counters of this network namespace (Documentation/networking/tls.rst, "Statistics"),
 * or `null` where it has none: no TLS, or its module not loaded. With options, an object that has them as
 * `counters`, beside what else was asked for.
 */
export function stats(): TlsCounters | null;
export function stats(options: StatsOptions): HostStats;
export function stats(options?: StatsOptions): TlsCounters | null | HostStats {
  if (options === undefined) return tlsCounters();
  return {
    counters: tlsCounters(),
    interfaces: options.interfaces === true ? interfaceCounters() : {},
    sockets: options.sockets === true ? tlsSockets() : null,
  };
}

/** A driver's counters of TLS, among all its counters: `tx_tls_encrypted_packets`, `rx_tls_ctx`, … */
export function tlsStatistics(
  statistics: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(statistics).filter(([name]) => /(^|_)(tx|rx)_k?tls_/.test(name)),
  );
}

function interfaceCounters(): HostStats['interfaces'] {
  let names: string[];
  try {
    names = readdirSync('/sys/class/net').sort();
  } catch {
    return {};
  }
  return Object.fromEntries(
    names
      .map((name) => [name, tlsStatistics(interfaceStatistics(name))] as const)
      .filter(([, counters]) => Object.keys(counters).length > 0),
  );
}

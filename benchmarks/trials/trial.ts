/** What is measured, and what a sample of it says. */
import type { DriverName, TlsSettings } from '../drivers/driver.js';
import type { Lateness } from '../lateness.js';
import type { Evidence, Offloaded } from '../proof.js';

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** What all samples of a run share. */
export interface Scene {
  readonly tls: TlsSettings;
  /** Holds the files that are served, `file/<bytes>`. */
  readonly folder: string;
  /** @returns the path of a file of so many bytes, which is in the page cache */
  readonly file: (bytes: number) => string;
}

/** What is compared: the CPU time of one unit, the memory of one connection, or the event loop's delay. */
export type Metric = 'cpu' | 'memory' | 'delay';
export type Unit = 'request' | 'MiB' | 'connection';

/** What one fresh process has cost. Times in microseconds, memory in bytes. */
export interface Sample {
  readonly units: number;
  /** Connections that carried the units: each must be offloaded, if the driver's name says so. */
  readonly connections: number;
  /** Directions of them that were. */
  readonly offloaded: Offloaded;
  /** How that is known. Absent from older results, which counted the warm-up's connections too. */
  readonly evidence?: Evidence;
  /** CPU of the measured process, for one unit. */
  readonly cpu: { readonly total: number; readonly user: number; readonly system: number };
  /** How often the kernel looked whether it was in user or in system. Absent from older results. */
  readonly ticks?: number;
  /** For one unit. Absent where they could not be counted, and from older results. */
  readonly systemCalls?: number;
  /**
   * CPU of all the kernel's own threads meanwhile, for one unit. They work for the load too, and are not in
   * `cpu`. Absent from older results.
   */
  readonly kernelThreads?: number;
  /** Units done in a second, by a load on the same machine: by the load's own clock, if it has one. */
  readonly perSecond: number;
  /** Resident memory of the measured process at the end. */
  readonly resident: number;
  /** From a request to the end of its response. */
  readonly latency?: { readonly p50: number; readonly p99: number };
  /** Of one idle connection. The kernel's part is that of both of its ends. */
  readonly memory?: { readonly resident: number; readonly kernel: number };
  /** Descriptors of the measured process for one idle connection. Absent from older results. */
  readonly descriptors?: number;
  /** How late the measured process's event loop was; and the p99 before the load. */
  readonly delay?: Lateness & { readonly idle: number };
}

export interface Trial {
  readonly name: string;
  readonly title: string;
  readonly measures: 'server' | 'client';
  readonly metric: Metric;
  readonly unit: Unit;
  /** The smallest set it belongs to: `--quick`, no option, `--full`. */
  readonly set: 'quick' | 'standard' | 'full';
  readonly drivers: readonly DriverName[];
  /** What makes the load, but for curl, openssl and Node. */
  readonly tools: readonly ('h2load' | 'wrk')[];
  /** The package that is measured, if it is none of ours: without it the trial is left out. */
  readonly needs?: 'undici';
  /** False: runs where the kernel has no TLS. */
  readonly kernelTls: boolean;
  /** Takes one sample of fresh processes. */
  readonly sample: (scene: Scene, driver: DriverName) => Promise<Sample>;
}

/** The value that is compared. */
export function valueOf(metric: Metric, sample: Sample): number {
  if (metric === 'memory') return sample.memory!.resident + sample.memory!.kernel;
  if (metric === 'delay') return sample.delay!.p99;
  return sample.cpu.total;
}

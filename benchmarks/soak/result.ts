/** What a soak writes down: the state of a server and of its clients whenever no connection is open. */
import type { Host } from '../machine.js';

/** A process at rest, its garbage collected. Memory in bytes. */
export interface ProcessState {
  /** `heapUsed + external` of `process.memoryUsage()`: what JavaScript still reaches. */
  readonly heap: number;
  /** What allocators keep for later is in it as well. */
  readonly resident: number;
  readonly fds: number;
  /** The length of `process.getActiveResourcesInfo()`. */
  readonly handles: number;
}

export interface SoakSample {
  /** Made so far. */
  readonly connections: number;
  /** Since the first one. */
  readonly seconds: number;
  readonly server: ProcessState;
  readonly client: ProcessState;
  /** Sockets that the kernel has keys for now: TlsCurr… of `/proc/net/tls_stat`. */
  readonly keyed: { readonly tx: number; readonly rx: number };
}

/** What the connections were. */
export interface SoakTally {
  /** Connections of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Handshakes that resumed a session, of those that came to their end. */
  readonly resumed: number;
  readonly secured: number;
  /** Bytes of application data that clients received. */
  readonly received: number;
  /** Key installations that the kernel counted, in software or a device. */
  readonly offloaded: { readonly tx: number; readonly rx: number };
}

export interface SoakResult {
  readonly date: string;
  /** The commit that was measured; `-dirty` if the tree differed from it. */
  readonly revision: string;
  readonly machine: Host;
  /** How many connections at the same time. */
  readonly atOnce: number;
  readonly samples: readonly SoakSample[];
  /** Absent from a soak that did not come to its end. */
  readonly tally?: SoakTally;
}

/** What the measuring process says, behind the mark. */
export type SoakMessage = Partial<Omit<SoakResult, 'samples'>> & { readonly sample?: SoakSample };

export const SOAK_MARK = 'ktls-soak ';

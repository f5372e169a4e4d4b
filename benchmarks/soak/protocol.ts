/** What the two processes of a soak know of each other. */

/** What the server gets in its first argument. */
export interface SoakServerSettings {
  readonly key: string;
  readonly cert: string;
}

/** Where it listens, and with what. */
export interface SoakPorts {
  readonly tls: number;
  readonly halfOpen: number;
  readonly https: number;
}

/** Bytes: the most that a client can ask for. */
export const MOST = 1024 * 1024;

/** Connections that the clients shall make, by number. */
export interface SoakBatch {
  readonly from: number;
  readonly count: number;
  readonly atOnce: number;
}

/** What came of them. */
export interface BatchTally {
  readonly kinds: Readonly<Record<string, number>>;
  readonly secured: number;
  readonly resumed: number;
  readonly received: number;
}

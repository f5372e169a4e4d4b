/** What the servers in the guest say, as lines. */

/** Of one server. */
export interface Seen {
  /** Of `ktls serve`, which tells of no more: answers. */
  connections: number;
  offloaded: number;
  errors: string[];
}

export const listening = 'the servers are listening';
export const seenPrefix = 'seen: ';

/** What the servers in the guest say, as lines. */

/** Of one server. */
export interface Seen {
  connections: number;
  offloaded: number;
  /** Requests for a part that does not begin with the file's first byte, and got it. */
  parts: number;
  errors: string[];
}

export const listening = 'the servers are listening';
export const seenPrefix = 'seen: ';

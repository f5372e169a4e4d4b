/** A channel without a socket: each call answers what the test has lined up for it. */
import type { Channel } from '../../lib/kernel/binding.js';

/** What one `receive` finds. */
export interface Arrival {
  type: number;
  payload: Buffer;
}

type Faked = Pick<
  Channel,
  'receive' | 'sendRecord' | 'sendSequence' | 'bytesInTcp' | 'tcpState' | 'takeError' | 'close'
>;

export class FakeChannel implements Faked {
  /** An errno is negated; behind the last one the answer is `idle`. */
  readonly arrivals: (Arrival | number)[] = [];
  readonly sendResults: number[] = [];
  readonly sent: Arrival[] = [];
  idle: number;
  sequence: bigint | number = 0n;
  inTcp = 0;
  /** TCP_ESTABLISHED. */
  state = 1;
  error = 0;
  receives = 0;
  /** How often `bytesInTcp` was called. */
  asks = 0;

  constructor(idle: number) {
    this.idle = idle;
  }

  receive(target: Uint8Array, offset: number): number {
    this.receives++;
    const next = this.arrivals.shift() ?? this.idle;
    if (typeof next === 'number') return next;
    target.set(next.payload, offset);
    return next.type * 0x1000000 + next.payload.length;
  }

  sendRecord(type: number, payload: Uint8Array): number {
    const result = this.sendResults.shift() ?? payload.length;
    if (result >= 0) this.sent.push({ type, payload: Buffer.from(payload) });
    return result;
  }

  sendSequence(): bigint | number {
    return this.sequence;
  }

  bytesInTcp(): number {
    this.asks++;
    return this.inTcp;
  }

  tcpState(): number {
    return this.state;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  close(): void {
    // Nothing to leave.
  }

  /** For code that wants the whole of it. */
  asChannel(): Channel {
    return this as unknown as Channel;
  }
}

/** What the kernel says of a TCP connection (`/proc/net/tcp`, proc(5)), so that no test has to guess it. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';

interface Row {
  /** Bytes that the peer's TCP has not acknowledged. */
  readonly queued: number;
  readonly timer: number;
}

/** It waits for the peer's window to open, with nothing on its way. */
const WINDOW_PROBE = 4;

/** One end of a connection over IPv4, known from when it was established. */
export class TcpEnd {
  readonly #ends: string;

  constructor(socket: Pick<Socket, 'localPort' | 'remotePort'>) {
    const { localPort, remotePort } = socket;
    if (localPort === undefined || remotePort === undefined) throw new Error('not connected');
    this.#ends = `${hex(localPort)} ${hex(remotePort)}`;
  }

  /** `null` once it is reset, or closed on both sides: after a FIN of the peer's alone it is there still. */
  #row(): Row | null {
    for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
      const [, local = '', remote = '', , queues = '', timer = ''] = line.trim().split(/\s+/);
      if (`${local.slice(-4)} ${remote.slice(-4)}` !== this.#ends) continue;
      return { queued: parseInt(queues, 16), timer: parseInt(timer, 16) };
    }
    return null;
  }

  /** Whether the kernel still has the connection. */
  get exists(): boolean {
    return this.#row() !== null;
  }

  /** Waits until the peer's TCP has all that was given to this end's. */
  async delivered(): Promise<void> {
    while (this.#row()?.queued !== 0) await delay(1);
  }

  /** Whether its TCP takes no more from us, and will not until the peer's application reads. */
  async isFull(): Promise<boolean> {
    const before = this.#row();
    if (before?.timer !== WINDOW_PROBE) return false;
    // Room that is left would be told in the next turn of the loop, and used.
    for (let turns = 0; turns < 3; turns++) await turn();
    const after = this.#row();
    return after?.timer === WINDOW_PROBE && after.queued === before.queued;
  }
}

const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');

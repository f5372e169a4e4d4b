/** A server under load: CPU, throughput, latency, and how late its event loop was. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DriverName, drivers } from '../drivers/driver.js';
import type { Done, Target } from '../loads.js';
import { costOf, usageOf } from '../measure.js';
import { difference, offloadedSoFar } from '../proof.js';
import { ask, startServer, stop } from '../processes.js';
import type { Sample, Scene } from './trial.js';

export interface Load {
  readonly role?: 'http' | 'http2' | 'echo';
  /** Runs before it counts: the JIT decides what a small request costs. */
  readonly warmUp: (target: Target, scene: Scene) => Promise<unknown>;
  readonly load: (target: Target, scene: Scene) => Promise<Done>;
  /** Whether to look at the event loop, which costs CPU; for loads of more than `SETTLING`. */
  readonly delay?: boolean;
}

/** Milliseconds in which all connections are made: a handshake holds the event loop longer than a transfer. */
const SETTLING = 1000;

type Delay = Omit<Sample['delay'] & {}, 'idle'>;

/** @param after milliseconds before the event loop is looked at */
async function delayDuring(
  server: ChildProcess,
  what: Promise<unknown>,
  after = 0,
): Promise<Delay> {
  await Promise.race([what, sleep(after)]);
  await ask(server, 'watch');
  await what;
  return (await ask(server, 'delay')) as Delay;
}

export function underLoad({ role = 'http', warmUp, load, delay = false }: Load) {
  return async (scene: Scene, driver: DriverName): Promise<Sample> => {
    const server = await startServer(scene, driver, role);
    try {
      const pid = server.process.pid!;
      const { secure, closes = false } = drivers[driver];
      const target = { secure, closes, port: server.port };
      await warmUp(target, scene);
      const idle = delay ? await delayDuring(server.process, sleep(SETTLING)) : undefined;
      // Each load has connections of its own.
      const offloadedBefore = offloadedSoFar();
      const before = usageOf(pid);
      const loading = load(target, scene);
      const busy = delay ? await delayDuring(server.process, loading, SETTLING) : undefined;
      const { units, connections, latency } = await loading;
      const after = usageOf(pid);
      return {
        ...costOf(before, after, units),
        connections,
        offloaded: difference(offloadedSoFar(), offloadedBefore),
        evidence: 'made',
        ...(latency === undefined ? {} : { latency }),
        ...(busy && idle ? { delay: { ...busy, idle: idle.p99 } } : {}),
      };
    } finally {
      await stop(server.process);
    }
  };
}

/** A server under load: CPU, throughput, latency, and how late its event loop was. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DriverName, drivers } from '../drivers/driver.js';
import type { Lateness } from '../lateness.js';
import type { Done, Target } from '../loads.js';
import { costOf, usageOf } from '../measure.js';
import { difference, offloadedSoFar } from '../proof.js';
import { ask, startServer, stop } from '../processes.js';
import { systemCallsDuring } from '../system-calls.js';
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

/** What has been seen of the event loop of a server that was told to watch it. */
const delayOf = async (server: ChildProcess): Promise<Lateness> =>
  (await ask(server, 'delay')) as Lateness;

async function whileIdle(server: ChildProcess): Promise<Lateness> {
  await ask(server, 'watch');
  await sleep(SETTLING);
  return delayOf(server);
}

/** Watches the event loop as soon as the load has settled. */
async function watchUnder(server: ChildProcess, loading: Promise<unknown>): Promise<void> {
  await Promise.race([loading, sleep(SETTLING)]);
  await ask(server, 'watch');
}

export function underLoad({ role = 'http', warmUp, load, delay = false }: Load) {
  return async (scene: Scene, driver: DriverName): Promise<Sample> => {
    const server = await startServer(scene, driver, role);
    try {
      const pid = server.process.pid!;
      const { secure, closes = false } = drivers[driver];
      const target = { secure, closes, port: server.port };
      await warmUp(target, scene);
      const idle = delay ? await whileIdle(server.process) : undefined;
      // Each load has connections of its own.
      const offloadedBefore = offloadedSoFar();
      const before = usageOf(pid);
      const loading = load(target, scene);
      if (delay) await watchUnder(server.process, loading);
      const { units, connections, latency, seconds } = await loading;
      const after = usageOf(pid);
      const offloaded = difference(offloadedSoFar(), offloadedBefore);
      const busy = delay ? await delayOf(server.process) : undefined;
      const calls = delay ? undefined : await systemCallsDuring(pid, () => load(target, scene));
      return {
        ...costOf(before, after, units),
        ...(seconds === undefined ? {} : { perSecond: units / seconds }),
        connections,
        offloaded,
        evidence: 'made',
        ...(calls === undefined ? {} : { systemCalls: calls / units }),
        ...(latency === undefined ? {} : { latency }),
        ...(busy && idle ? { delay: { ...busy, idle: idle.p99 } } : {}),
      };
    } finally {
      await stop(server.process);
    }
  };
}

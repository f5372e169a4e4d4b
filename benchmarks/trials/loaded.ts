/** A server under load: CPU, throughput, latency, and how late its event loop was. */
import { type DriverName, drivers } from '../drivers/driver.js';
import type { Done, Target } from '../loads.js';
import { costOf, usageOf } from '../measure.js';
import { ask, startServer, stop } from '../processes.js';
import type { Sample, Scene } from './trial.js';

export interface Load {
  readonly role?: 'http' | 'echo';
  /** Runs before it counts: the JIT decides what a small request costs. */
  readonly warmUp: (target: Target, scene: Scene) => Promise<unknown>;
  readonly load: (target: Target, scene: Scene) => Promise<Done>;
  /** Whether to look at the event loop, which costs CPU. */
  readonly delay?: boolean;
}

export function underLoad({ role = 'http', warmUp, load, delay = false }: Load) {
  return async (scene: Scene, driver: DriverName): Promise<Sample> => {
    const server = await startServer(scene, driver, role);
    try {
      const pid = server.process.pid!;
      const target = { secure: drivers[driver].secure, port: server.port };
      await warmUp(target, scene);
      if (delay) await ask(server.process, 'watch');
      const before = usageOf(pid);
      const { units, connections, latency } = await load(target, scene);
      const after = usageOf(pid);
      return {
        ...costOf(before, after, units),
        connections,
        ...(latency === undefined ? {} : { latency }),
        ...(delay ? { delay: (await ask(server.process, 'delay')) as Sample['delay'] & {} } : {}),
      };
    } finally {
      await stop(server.process);
    }
  };
}

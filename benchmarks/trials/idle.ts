/** What a connection costs that has had one request answered and then waits. */
import { type DriverName, drivers } from '../drivers/driver.js';
import { costOf, descriptorsOf, kernelMemory, usageOf } from '../measure.js';
import { difference, offloadedAtRest, offloadedNow } from '../proof.js';
import { ask, message, startNode, startServer, stop } from '../processes.js';
import type { IdleSettings } from '../subjects/idle.js';
import type { Sample, Scene } from './trial.js';

/** Connections before those that count: code and caches are there, and little memory is left to reuse. */
const WARM_UP = 50;

export function idle(count: number) {
  return async (scene: Scene, driver: DriverName): Promise<Sample> => {
    const options = { flags: ['--expose-gc'], manyFiles: true };
    const server = await startServer(scene, driver, 'idle', options);
    // V8's young generation grows up to 32 MiB by what is allocated in a short time, whoever holds it.
    const collect = async (): Promise<number> => Number(await ask(server.process, 'collect'));
    const settings: IdleSettings = { port: server.port, secure: drivers[driver].secure };
    const holder = startNode('idle', settings, { manyFiles: true });
    try {
      const pid = server.process.pid!;
      await message(holder);
      await ask(holder, String(WARM_UP));
      await ask(holder, '0');
      const atRest = await offloadedAtRest();
      const youngBefore = await collect();
      const descriptorsBefore = descriptorsOf(pid);
      const before = usageOf(pid);
      const kernelBefore = kernelMemory();
      await ask(holder, String(count));
      const young = (await collect()) - youngBefore;
      const after = usageOf(pid);
      return {
        ...costOf(before, after, count),
        connections: count,
        offloaded: difference(offloadedNow(), atRest),
        evidence: 'established',
        memory: {
          resident: (after.resident - before.resident - young) / count,
          kernel: (kernelMemory() - kernelBefore) / count,
        },
        descriptors: (descriptorsOf(pid) - descriptorsBefore) / count,
      };
    } finally {
      await stop(holder);
      await stop(server.process);
    }
  };
}

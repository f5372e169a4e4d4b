/** A client that downloads over one connection from node:https, which is not measured. */
import type { DriverName } from '../drivers/driver.js';
import { costOf, usageOf } from '../measure.js';
import { difference, lesser, offloadedAtRest, offloadedNow } from '../proof.js';
import { ask, message, startNode, startServer, stop } from '../processes.js';
import type { ClientSettings } from '../subjects/client.js';
import type { UndiciSettings } from '../subjects/undici.js';
import { systemCallsDuring } from '../system-calls.js';
import { MiB, type Sample, type Scene } from './trial.js';

export function clientDownload(length: number, warmUps: number, downloads: number) {
  return async (scene: Scene, driver: DriverName): Promise<Sample> => {
    // All of it is the client's then: the server encrypts in user space.
    const atRest = await offloadedAtRest();
    const server = await startServer(scene, 'https');
    const settings = {
      driver,
      port: server.port,
      path: `/memory/${length}`,
      length,
    } as ClientSettings | UndiciSettings;
    const client = startNode(driver.startsWith('undici') ? 'undici' : 'client', settings);
    try {
      await message(client);
      for (let i = 0; i < warmUps; i++) await ask(client, 'go');
      const offloadedBefore = offloadedNow();
      const before = usageOf(client.pid!);
      for (let i = 0; i < downloads; i++) await ask(client, 'go');
      const after = usageOf(client.pid!);
      const offloaded = difference(lesser(offloadedBefore, offloadedNow()), atRest);
      const calls = await systemCallsDuring(client.pid!, () => ask(client, 'go'));
      return {
        ...costOf(before, after, (downloads * length) / MiB),
        connections: 1,
        offloaded,
        evidence: 'established',
        ...(calls === undefined ? {} : { systemCalls: calls / (length / MiB) }),
      };
    } finally {
      await stop(client);
      await stop(server.process);
    }
  };
}

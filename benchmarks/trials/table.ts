/** The table of what is measured. */
import type { DriverName } from '../drivers/driver.js';
import * as loads from '../loads.js';
import { clientDownload } from './client.js';
import { idle } from './idle.js';
import { underLoad } from './loaded.js';
import { KiB, MiB, type Trial } from './trial.js';

export type { Trial } from './trial.js';

const node: readonly DriverName[] = ['http', 'https', 'ktls'];
const secure: readonly DriverName[] = ['https', 'ktls'];
const byNode: readonly DriverName[] = [...node, 'http-sendfile', 'ktls-sendfile'];
const files: readonly DriverName[] = [...byNode, 'nginx', 'nginx-ktls'];
const closing: readonly DriverName[] = ['openssl', 'openssl-ktls'];

type Set = Trial['set'];
type Given = Omit<Trial, 'measures' | 'metric' | 'kernelTls' | 'tools'> & Partial<Trial>;

const trial = (given: Given): Trial => {
  return { measures: 'server', metric: 'cpu', kernelTls: true, tools: [], ...given };
};

/** @param counts requests of each load to warm up with, then to measure */
function memory(set: Set, name: string, bytes: number, counts: [number, number], clients: number) {
  const path = `/memory/${bytes}`;
  return trial({
    name: `memory-${name.replace(' ', '').toLowerCase()}`,
    title: `${name} from memory, keep-alive`,
    tools: ['h2load'],
    unit: 'request',
    set,
    drivers: node,
    sample: underLoad({
      warmUp: (target) => loads.warmUp(() => loads.requests(target, path, counts[0], clients)),
      load: (target) => loads.requests(target, path, counts[1], clients),
    }),
  });
}

/** @param counts downloads of each load to warm up with, in a smaller file if it is large, then to measure */
function file(set: Set, name: string, bytes: number, [warming, count]: [number, number]) {
  const small = Math.min(bytes, 32 * MiB);
  return trial({
    name: `file-${name.replace(' ', '').toLowerCase()}`,
    title: `${name} file`,
    tools: ['h2load'],
    unit: bytes < MiB ? 'request' : 'MiB',
    set,
    // A connection for each small file would be what is measured.
    drivers: bytes < MiB ? files : [...files, ...closing],
    sample: underLoad({
      warmUp: async (target, { file }) => {
        // Made now, and not while it counts.
        for (const each of [small, bytes]) file(each);
        if (target.closes) return;
        const path = `/file/${small}`;
        await loads.warmUp(() => loads.requests(target, path, warming, 1));
      },
      load: (target) => {
        const path = `/file/${bytes}`;
        return bytes < MiB
          ? loads.requests(target, path, count, 1)
          : loads.downloads(target, path, bytes, count);
      },
    }),
  });
}

function connections(name: string, kind: 'full' | 'resumed', title: string, given: Partial<Trial>) {
  return trial({
    name,
    title,
    unit: 'connection',
    set: 'standard',
    drivers: secure,
    sample: underLoad({
      // What a connection costs falls for some thousands of them, and under kernel TLS by more (floor.md).
      warmUp: (target) => loads.connections(target, kind, 3000),
      load: (target) => loads.connections(target, kind, 300),
    }),
    ...given,
  });
}

function idleConnections(set: Set, count: number) {
  return trial({
    name: `idle-${count}`,
    title: `${count.toLocaleString('en')} idle connections`,
    metric: 'memory',
    unit: 'connection',
    set,
    drivers: node,
    sample: idle(count),
  });
}

/** The sixth download costs what all behind it do; undici's seventh. The second costs a tenth more and above. */
function client(set: Set, name: string, title: string, drivers: readonly DriverName[]) {
  const sample = clientDownload(64 * MiB, 7, 3);
  return trial({ name, title, measures: 'client', unit: 'MiB', set, drivers, sample });
}

const mixed = [KiB, 16 * KiB, 64 * KiB].map((bytes) => `/memory/${bytes}`);
const fallback = { drivers: ['https', 'ktls-fallback'], kernelTls: false } as const;
const keepAlive = memory('quick', '1 KiB', KiB, [7000, 10_000], 4);

export const trials: readonly Trial[] = [
  keepAlive,
  memory('full', '16 KiB', 16 * KiB, [4000, 5000], 4),
  memory('quick', '64 KiB', 64 * KiB, [3000, 3000], 4),
  memory('standard', '1 MiB', MiB, [150, 400], 2),
  memory('full', '64 MiB', 64 * MiB, [2, 4], 1),
  file('full', '16 KiB', 16 * KiB, [2500, 3000]),
  file('standard', '100 KiB', 100 * KiB, [2500, 2000]),
  file('full', '1 MiB', MiB, [150, 400]),
  file('quick', '32 MiB', 32 * MiB, [4, 12]),
  file('full', '1 GiB', 1024 * MiB, [1, 1]),
  trial({
    name: 'upload-64mib',
    title: '64 MiB uploaded',
    unit: 'MiB',
    set: 'quick',
    drivers: [...node, 'ktls-no-padding'],
    sample: underLoad({
      // Node without TLS gets cheaper by a third from the third to the sixth.
      warmUp: (target, { file }) => loads.upload(target, file(64 * MiB), 8),
      load: (target, { file }) => loads.upload(target, file(64 * MiB), 4),
    }),
  }),
  trial({
    name: 'echo',
    title: 'Echo, 64 KiB writes',
    unit: 'MiB',
    set: 'standard',
    drivers: node,
    sample: underLoad({
      role: 'echo',
      // Kernel TLS gets cheaper by a fifth from the fourth to the sixth, node:tls by 40 % to the third.
      warmUp: (target) => loads.echo(target, Array<number>(7).fill(32 * MiB)),
      load: (target) => loads.echo(target, [128 * MiB]),
    }),
  }),
  trial({
    name: 'http2',
    tools: ['h2load'],
    title: 'HTTP/2, 1 KiB, 16 KiB and 64 KiB in turn',
    unit: 'request',
    set: 'standard',
    drivers: node,
    sample: underLoad({
      role: 'http2',
      warmUp: (target) => loads.warmUp(() => loads.streams(target, mixed, 4000, 4)),
      load: (target) => loads.streams(target, mixed, 3000, 4),
    }),
  }),
  connections('connections-full', 'full', 'New connections, full handshake', {}),
  connections('connections-resumed', 'resumed', 'New connections, resumed', {}),
  idleConnections('standard', 1000),
  idleConnections('full', 10_000),
  trial({
    name: 'event-loop-delay',
    tools: ['h2load', 'wrk'],
    title: 'Event loop, while 50 clients download 32 MiB files',
    metric: 'delay',
    unit: 'MiB',
    set: 'standard',
    drivers: byNode,
    sample: underLoad({
      delay: true,
      warmUp: (target, { file }) => {
        file(32 * MiB);
        return loads.warmUp(() => loads.requests(target, `/file/${32 * MiB}`, 4, 2));
      },
      load: (target) => loads.downloadsFor(target, `/file/${32 * MiB}`, 50, 4),
    }),
  }),
  client('quick', 'client-64mib', 'Client: 64 MiB downloaded', [
    'tls.connect',
    'ktls.connect',
    'ktls.connect-no-padding',
  ]),
  {
    ...client('standard', 'undici-64mib', 'undici: 64 MiB downloaded', ['undici', 'undici-ktls']),
    needs: 'undici',
  },
  {
    ...keepAlive,
    ...fallback,
    name: 'fallback-memory-1kib',
    title: '1 KiB from memory, keep-alive, no kernel TLS',
    set: 'standard',
  },
  connections(
    'fallback-connections',
    'full',
    'New connections, full handshake, no kernel TLS',
    fallback,
  ),
];

/** @throws Error if there is none */
export function trialNamed(name: string): Trial {
  const found = trials.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no trial is called '${name}'`);
  return found;
}

const sets: Readonly<Record<Set, readonly Set[]>> = {
  quick: ['quick'],
  standard: ['quick', 'standard'],
  full: ['quick', 'standard', 'full'],
};

export const trialsOf = (set: Set): Trial[] => trials.filter((one) => sets[set].includes(one.set));

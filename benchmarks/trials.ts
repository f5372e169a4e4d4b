/** The table of what is measured. */
import type { DriverName } from './drivers/driver.js';
import * as loads from './loads.js';
import type { Target } from './loads.js';

export const KiB = 1024;
export const MiB = 1024 * KiB;
/** Of the file that is served and uploaded. */
export const FILE_SIZE = 64 * MiB;

/** What the cost is divided by. */
export type Unit = 'request' | 'MiB' | 'connection';

interface Common {
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
  /** Part of `--quick`. */
  readonly quick?: true;
}

export interface ServerTrial extends Common {
  readonly measures: 'server';
  readonly drivers: readonly DriverName[];
  /** @returns how many units were done */
  readonly load: (target: Target, file: string) => Promise<number>;
  /** How often the load is run before it counts: the JIT decides small requests. */
  readonly warmUps: number;
}

export interface ClientTrial extends Common {
  readonly measures: 'client';
  readonly drivers: readonly ['tls.connect', 'ktls.connect'];
  readonly path: string;
  readonly length: number;
  readonly warmUps: number;
  readonly downloads: number;
}

export type Trial = ServerTrial | ClientTrial;

const all: readonly DriverName[] = ['http', 'https', 'ktls'];
const secure: readonly DriverName[] = ['https', 'ktls'];

const inMiB = async (bytes: Promise<number>): Promise<number> => (await bytes) / MiB;

export const trials: readonly Trial[] = [
  {
    name: 'keep-alive-1k',
    title: '1 KiB responses, keep-alive',
    measures: 'server',
    unit: 'request',
    drivers: all,
    warmUps: 1,
    load: (target) => loads.requests(target, `/memory/${KiB}`, 8, 1),
    quick: true,
  },
  {
    name: 'memory-64k',
    title: '64 KiB responses from memory',
    measures: 'server',
    unit: 'request',
    drivers: all,
    warmUps: 1,
    load: (target) => loads.requests(target, `/memory/${64 * KiB}`, 4, 1),
    quick: true,
  },
  {
    name: 'memory-1m',
    title: '1 MiB responses from memory',
    measures: 'server',
    unit: 'request',
    drivers: all,
    warmUps: 1,
    load: (target) => loads.requests(target, `/memory/${MiB}`, 2, 1),
  },
  {
    name: 'file-64m',
    title: '64 MiB file, downloaded',
    measures: 'server',
    unit: 'MiB',
    drivers: all,
    warmUps: 1,
    load: (target) => inMiB(loads.download(target, '/file', 2)),
    quick: true,
  },
  {
    name: 'upload-64m',
    title: '64 MiB uploaded',
    measures: 'server',
    unit: 'MiB',
    drivers: all,
    warmUps: 1,
    load: (target, file) => inMiB(loads.upload(target, file, 2)),
    quick: true,
  },
  {
    name: 'connections-full',
    title: 'New connections, full handshake',
    measures: 'server',
    unit: 'connection',
    drivers: secure,
    warmUps: 1,
    load: (target) => loads.connections(target, 'full', 1),
    quick: true,
  },
  {
    name: 'connections-resumed',
    title: 'New connections, resumed session',
    measures: 'server',
    unit: 'connection',
    drivers: secure,
    warmUps: 1,
    load: (target) => loads.connections(target, 'resumed', 1),
  },
  {
    name: 'client-download-64m',
    title: 'Client: 64 MiB downloaded',
    measures: 'client',
    unit: 'MiB',
    drivers: ['tls.connect', 'ktls.connect'],
    path: `/memory/${64 * MiB}`,
    length: 64 * MiB,
    warmUps: 1,
    downloads: 2,
    quick: true,
  },
];

/** The measured process, and how one sample is taken of it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { DriverName, TlsSettings } from './drivers/driver.js';
import { type Usage, costBetween, offloadedSoFar, usageOf } from './measure.js';
import type { ClientSettings } from './subjects/client.js';
import type { ServerSettings } from './subjects/server.js';
import { type ClientTrial, MiB, type ServerTrial, type Trial } from './trials.js';

/** What one fresh process has cost. */
export interface Sample {
  readonly units: number;
  /** Microseconds of CPU for one unit. */
  readonly user: number;
  readonly system: number;
  readonly total: number;
  /** Resident memory at the end, in bytes. */
  readonly resident: number;
}

/** What all samples of a run share. */
export interface Scene {
  readonly tls: TlsSettings;
  readonly file: string;
}

/**
 * Takes a sample of a fresh process.
 *
 * @throws Error if a kernel TLS driver ran in user space, or another did not
 */
export async function sample(scene: Scene, trial: Trial, driver: string): Promise<Sample> {
  const before = offloadedSoFar();
  const taken = await (trial.measures === 'server'
    ? ofServer(scene, trial, driver as DriverName)
    : ofClient(scene, trial, driver as ClientSettings['driver']));
  const after = offloadedSoFar();
  const offloaded = after.tx > before.tx && after.rx > before.rx;
  if (offloaded !== driver.startsWith('ktls')) {
    throw new Error(`${trial.name}, ${driver}: ${offloaded ? 'was' : 'was not'} offloaded`);
  }
  return taken;
}

async function ofServer(scene: Scene, trial: ServerTrial, driver: DriverName): Promise<Sample> {
  const server = await startServer(scene, driver);
  try {
    const target = { secure: driver !== 'http', port: server.port };
    for (let i = 0; i < trial.warmUps; i++) await trial.load(target, scene.file);
    const before = usageOf(server.process.pid!);
    const units = await trial.load(target, scene.file);
    return perUnit(before, usageOf(server.process.pid!), units);
  } finally {
    server.process.kill();
  }
}

async function ofClient(
  scene: Scene,
  trial: ClientTrial,
  driver: ClientSettings['driver'],
): Promise<Sample> {
  const { path, length } = trial;
  const server = await startServer(scene, 'https');
  const settings: ClientSettings = { driver, port: server.port, path, length };
  const client = start('client', settings);
  try {
    await message(client);
    const download = async (): Promise<void> => {
      client.send('go');
      await message(client);
    };
    for (let i = 0; i < trial.warmUps; i++) await download();
    const before = usageOf(client.pid!);
    for (let i = 0; i < trial.downloads; i++) await download();
    return perUnit(before, usageOf(client.pid!), (trial.downloads * length) / MiB);
  } finally {
    client.kill();
    server.process.kill();
  }
}

async function startServer(
  { tls, file }: Scene,
  driver: DriverName,
): Promise<{ process: ChildProcess; port: number }> {
  const settings: ServerSettings = { driver, tls, file };
  const server = start('server', settings);
  const { port } = (await message(server)) as { port: number };
  return { process: server, port };
}

function start(subject: 'server' | 'client', settings: object): ChildProcess {
  const script = fileURLToPath(new URL(`./subjects/${subject}.js`, import.meta.url));
  return fork(script, [JSON.stringify(settings)]);
}

/** The next message; a process that ends instead is an error. */
async function message(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  const { signal } = over;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([value]) => value as unknown),
      once(child, 'exit', { signal }).then(() => {
        throw new Error('the measured process has ended');
      }),
    ]);
  } finally {
    over.abort();
  }
}

function perUnit(before: Usage, after: Usage, units: number): Sample {
  const cost = costBetween(before, after);
  return {
    units,
    user: cost.user / units,
    system: cost.system / units,
    total: cost.total / units,
    resident: after.resident,
  };
}

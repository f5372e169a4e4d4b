/**
 * The process that measures: has the connections made, looks at both processes whenever none is open, and
 * writes what it sees behind a mark to standard output, which is all that leaves a guest. It gets the
 * `SoakOrder` as its argument.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { certificate } from '../certificate.js';
import { host } from '../machine.js';
import { difference, offloadedAtRest, offloadedSoFar } from '../proof.js';
import { ask, message, stop } from '../processes.js';
import type { BatchTally, SoakBatch, SoakPorts } from './protocol.js';
import {
  type ProcessState,
  SOAK_MARK,
  type SoakMessage,
  type SoakSample,
  type SoakTally,
} from './result.js';

export interface SoakOrder {
  readonly connections: number;
  /** After these no further sample is begun; `null`: no limit. */
  readonly minutes: number | null;
  readonly every: number;
  readonly atOnce: number;
  readonly revision: string;
}

const order = JSON.parse(process.argv[2]!) as SoakOrder;
const tell = (message: SoakMessage): void => console.log(SOAK_MARK + JSON.stringify(message));

/** What else moves the resident size, up and down by tens of megabytes: V8's nursery, malloc's arenas. */
const STEADY = {
  execArgv: ['--expose-gc', '--max-semi-space-size=1'],
  env: { ...process.env, MALLOC_ARENA_MAX: '1' },
};

function start(name: 'server' | 'client', settings: object): ChildProcess {
  const script = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  return fork(script, [JSON.stringify(settings)], STEADY);
}

const server = start('server', certificate());
const ports = (await message(server)) as SoakPorts;
const client = start('client', ports);
await message(client);
tell({
  date: new Date().toISOString(),
  revision: order.revision,
  machine: host(),
  atOnce: order.atOnce,
});

const before = offloadedSoFar();
const started = performance.now();
const counts: Record<string, number> = {};
let [secured, resumed, received] = [0, 0, 0];

const timeIsUp = (): boolean =>
  order.minutes !== null && performance.now() - started > order.minutes * 60_000;

for (let from = 0; from < order.connections && !timeIsUp(); from += order.every) {
  const batch: SoakBatch = { from, count: order.every, atOnce: order.atOnce };
  const tally = (await ask(client, batch)) as BatchTally;
  for (const [kind, count] of Object.entries(tally.kinds)) {
    counts[kind] = (counts[kind] ?? 0) + count;
  }
  secured += tally.secured;
  resumed += tally.resumed;
  received += tally.received;
  const sample: SoakSample = {
    connections: from + order.every,
    seconds: Math.round((performance.now() - started) / 100) / 10,
    client: (await ask(client, 'state')) as ProcessState,
    server: (await ask(server, 'state')) as ProcessState,
    keyed: await offloadedAtRest(),
  };
  tell({ sample });
}

const tally: SoakTally = {
  kinds: counts,
  secured,
  resumed,
  received,
  offloaded: difference(offloadedSoFar(), before),
};
tell({ tally });
await stop(client);
await stop(server);

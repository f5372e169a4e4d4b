/** The options of a soak, as `npm run soak` and the process that measures both read them. */
import { parseArgs } from 'node:util';
import { type KernelName, isKernelName } from '../../vm/kernels.js';
import { count } from '../count.js';
import { CYCLE } from './kinds.js';

export const help = `Makes connections of every kind and looks whether anything of them is left behind.

  npm run soak -- [options]

  --connections N    default 20000; rounded up to whole samples
  --minutes M        no sample is begun later than this (default: no limit)
  --every N          connections between two samples (default a hundredth; whole cycles of ${CYCLE})
  --at-once N        connections at the same time (default 8)
  --kernel NAME      in a VM with this kernel; default: this host's kernel if it has TLS, else trixie
  --json FILE        keep the result, written at each sample
  --svg FILE         and its chart
  --timeout S        of the VM (default 14400)
`;

export interface SoakSettings {
  readonly connections: number;
  /** `null`: no limit. */
  readonly minutes: number | null;
  readonly every: number;
  readonly atOnce: number;
  readonly kernel: KernelName | undefined;
  readonly json: string | undefined;
  readonly svg: string | undefined;
  readonly timeout: number;
  readonly help: boolean;
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** @throws Error on an option that is unknown or makes no sense */
export function settingsOf(args: string[]): SoakSettings {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '20000' },
      minutes: { type: 'string' },
      every: { type: 'string' },
      'at-once': { type: 'string', default: '8' },
      kernel: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      timeout: { type: 'string', default: '14400' },
      help: { type: 'boolean', default: false },
    },
  });
  const { kernel, json, svg, help, minutes } = values;
  if (kernel !== undefined && !isKernelName(kernel)) throw new Error(`--kernel: no '${kernel}'`);
  const wanted = count('connections', values.connections);
  const every = roundUp(count('every', values.every ?? String(Math.ceil(wanted / 100))), CYCLE);
  return {
    connections: roundUp(wanted, every),
    minutes: minutes === undefined ? null : count('minutes', minutes),
    every,
    atOnce: count('at-once', values['at-once']),
    kernel,
    json,
    svg,
    timeout: count('timeout', values.timeout),
    help,
  };
}

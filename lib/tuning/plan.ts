/** The commands that suit a network card's TLS and its place in this machine. Pure, over a `System` view. */
import {
  type Interrupt,
  type Placement,
  allowedCpus,
  irqbalanceRuns,
  placement,
} from '../doctor/affinity.js';
import { missingChecksums, tlsFeatures } from '../doctor/checksums.js';
import { interfacesBelow } from '../doctor/interfaces.js';
import { type System, formatCpuList } from '../doctor/system.js';

export interface Step {
  readonly why: string;
  /** A program and its arguments, or a file and what to write into it. */
  readonly command: readonly string[] | null;
  readonly write: { readonly path: string; readonly value: string } | null;
}

/**
 * What would change, in order; nothing for what is right already. Of a bond or VLAN, first what would change
 * of the cards that it stands on.
 */
export function planTuning(system: System, name: string): Step[] {
  return [
    ...withThoseBelow(system, name).flatMap((each) => [
      ...features(system, each),
      ...queues(system, each),
      ...interrupts(system, each),
    ]),
    ...(irqbalanceRuns(system)
      ? [run('irqbalance would move the interrupts again', 'systemctl', 'stop', 'irqbalance')]
      : []),
    ...buffers(system, name),
  ];
}

/** Each once, though two may stand on it. */
function withThoseBelow(system: System, name: string): readonly string[] {
  const below = interfacesBelow(system, name).flatMap((each) => withThoseBelow(system, each));
  return [...new Set([...below, name])];
}

/** How to start Node near the card; `null` where every CPU is as near. */
export function launchCommand(system: System, name: string): string | null {
  const { node, nearCpus } = placement(system, name);
  const far = allowedCpus(system).some((cpu) => !nearCpus.includes(cpu));
  return node >= 0 && far ? `taskset -c ${formatCpuList(nearCpus)} node app.js` : null;
}

const run = (why: string, ...command: string[]): Step => ({ why, command, write: null });

/** In the order in which the kernel lets them be switched: TLS needs checksum offload. */
function features(system: System, name: string): Step[] {
  const facts = system.driver(name)?.features ?? {};
  return tlsFeatures
    .filter((feature) => facts[feature]?.changeable && !facts[feature].active)
    .flatMap((feature) => {
      const missing = missingChecksums(facts, feature);
      if (missing === null) return [];
      const switches = [...missing, feature].flatMap((each) => [each, 'on']);
      return [run(`the card has ${feature}, and it is off`, 'ethtool', '-K', name, ...switches)];
    });
}

function queues(system: System, name: string): Step[] {
  const channels = system.driver(name)?.channels;
  if (!channels || channels.maxCombined === 0) return [];
  const wanted = Math.min(channels.maxCombined, placement(system, name).nearCpus.length);
  if (wanted <= channels.combined) return [];
  const why =
    `one queue for each CPU near the card: ${wanted}, now ${channels.combined}` +
    ' (their interrupts can be placed when they are there)';
  return [
    run(why, 'ethtool', '-L', name, 'combined', String(wanted)),
    run('RSS over all of them', 'ethtool', '-X', name, 'equal', String(wanted)),
  ];
}

/** Mbit/s from which the kernel's own limits for one connection are too low. */
const FAST = 10_000;
/** Bytes: what is under way at 10 Gbit/s in 13 ms. */
const ENOUGH = 16 * 2 ** 20;

/** The third number of each is what a connection's buffer may grow to. */
function buffers(system: System, name: string): Step[] {
  if (Number(system.read(`/sys/class/net/${name}/speed`) ?? 0) < FAST) return [];
  return ['tcp_wmem', 'tcp_rmem'].flatMap((setting) => {
    const path = `/proc/sys/net/ipv4/${setting}`;
    const now = system.read(path)?.trim().split(/\s+/) ?? [];
    const most = Number(now[2]);
    if (!(most < ENOUGH)) return [];
    const why = `at 10 Gbit/s a connection fills ${ENOUGH >> 20} MiB in 13 ms; ${setting} has ${(most / 2 ** 20).toFixed(1)}`;
    const write = { path, value: [now[0], now[1], ENOUGH].join(' ') };
    return [{ why, command: null, write }];
  });
}

interface QueueInterrupt extends Interrupt {
  readonly queue: number;
}

/** Of the queues, which drivers name with a number at the end (`virtio0-input.3`, `mlx5_comp3@pci:…`). */
function queueInterrupts({ interrupts: all }: Placement, name: string): QueueInterrupt[] {
  return all.flatMap((each): QueueInterrupt[] => {
    const action = each.name.replace(/@.*/, '');
    const queue = /(\d+)\)?$/.exec(action)?.[1];
    // Those of the card itself: events, resets, the administration queue, the link.
    const rest = action.replace(name, '');
    const other = rest === '' || /async|event|mgmn?t|admin|config|misc|hwc/i.test(rest);
    return queue === undefined || other ? [] : [{ ...each, queue: Number(queue) }];
  });
}

/** Whether each queue has one of these CPUs, for all that it has, and none of them more queues than another. */
function isEven(all: readonly QueueInterrupt[], cpus: readonly number[]): boolean {
  const places = new Map<number, Set<string>>();
  for (const { queue, cpus: now } of all) {
    const place = places.get(queue) ?? new Set();
    places.set(queue, place.add(formatCpuList(now)));
  }
  const chosen = [...places.values()].map((place) => (place.size === 1 ? [...place][0]! : ''));
  const counts = cpus.map((cpu) => chosen.filter((each) => each === String(cpu)).length);
  const placed = counts.reduce((sum, count) => sum + count, 0);
  return placed === chosen.length && Math.max(...counts) - Math.min(...counts) <= 1;
}

/** One queue after another over the near CPUs that the scheduler uses. */
function interrupts(system: System, name: string): Step[] {
  const place = placement(system, name);
  const { nearCpus, isolated } = place;
  const all = queueInterrupts(place, name);
  const usable = nearCpus.filter((cpu) => !isolated.includes(cpu));
  const cpus = usable.length > 0 ? usable : nearCpus;
  if (isEven(all, cpus)) return [];
  return all.flatMap(({ number, name: action, queue, cpus: now }) => {
    const cpu = String(cpus[queue % cpus.length]!);
    if (formatCpuList(now) === cpu) return [];
    return [
      {
        why: `${action} to CPU ${cpu}, now ${formatCpuList(now)}`,
        command: null,
        write: { path: `/proc/irq/${number}/smp_affinity_list`, value: cpu },
      },
    ];
  });
}

/** As a line for a shell. */
export const toShell = ({ command, write }: Step): string =>
  write === null ? (command ?? []).join(' ') : `echo ${write.value} > ${write.path}`;

/** Where the work of a network card is done: NUMA node, queues, interrupts, and the CPUs of this process. */
import { type Finding, info, pass, warn } from './finding.js';
import { type System, formatCpuList, parseCpuList, readLine, statusField } from './system.js';

/** What the checks and `ktls tune` know of a card's place in the machine. */
export interface Placement {
  /** -1: the machine has one node, or the card is not told to be on any. */
  readonly node: number;
  /** The CPUs of that node, or all that are online. */
  readonly nearCpus: readonly number[];
  readonly online: readonly number[];
  readonly isolated: readonly number[];
  readonly interrupts: readonly Interrupt[];
  readonly receiveQueues: number;
  readonly sendQueues: number;
}

export interface Interrupt {
  readonly number: number;
  /** As `/proc/interrupts` has it, such as `mlx5_comp3@pci:0000:03:00.0`. */
  readonly name: string;
  /** Which CPUs it may go to. */
  readonly cpus: readonly number[];
}

export function placement(system: System, name: string): Placement {
  const at = `/sys/class/net/${name}`;
  const node = Number(readLine(system, `${at}/device/numa_node`) ?? -1);
  const online = parseCpuList(readLine(system, '/sys/devices/system/cpu/online'));
  const near =
    node >= 0 ? parseCpuList(readLine(system, `/sys/devices/system/node/node${node}/cpulist`)) : [];
  const queues = system.list(`${at}/queues`);
  return {
    node,
    nearCpus: near.length > 0 ? near : online,
    online,
    isolated: parseCpuList(readLine(system, '/sys/devices/system/cpu/isolated')),
    interrupts: interrupts(system, name),
    receiveQueues: queues.filter((each) => each.startsWith('rx-')).length,
    sendQueues: queues.filter((each) => each.startsWith('tx-')).length,
  };
}

function interrupts(system: System, name: string): Interrupt[] {
  const at = `/sys/class/net/${name}/device`;
  // A virtio device's are those of the PCI device above it.
  const own = system.list(`${at}/msi_irqs`);
  const numbers = new Set((own.length > 0 ? own : system.list(`${at}/../msi_irqs`)).map(Number));
  const lines = (system.read('/proc/interrupts') ?? '').split('\n');
  return lines.flatMap((line) => {
    const number = Number(/^\s*(\d+):/.exec(line)?.[1] ?? Number.NaN);
    if (!numbers.has(number)) return [];
    const action = line
      .trim()
      .split(/\s{2,}/)
      .at(-1)!
      .split(/\s+/)
      .at(-1)!;
    const cpus = parseCpuList(readLine(system, `/proc/irq/${number}/smp_affinity_list`));
    return [{ number, name: action, cpus }];
  });
}

export const allowedCpus = (system: System): readonly number[] =>
  parseCpuList(statusField(system, 'Cpus_allowed_list'));

/** Whether the irqbalance daemon runs. */
export const irqbalanceRuns = (system: System): boolean =>
  system
    .list('/proc')
    .some((pid) => /^\d+$/.test(pid) && readLine(system, `/proc/${pid}/comm`) === 'irqbalance');

export function checkAffinity(system: System, name: string): Finding[] {
  if (system.link(`/sys/class/net/${name}/device`) === null) return [];
  const place = placement(system, name);
  return [
    numa(system, name, place),
    queues(system, name, place),
    interruptSpread(system, name, place),
    ...isolation(system, place),
  ];
}

function numa(system: System, name: string, { node, nearCpus }: Placement): Finding {
  const check = 'affinity.numa';
  const title = `${name}: NUMA`;
  if (node < 0)
    return pass(check, title, 'The card belongs to no NUMA node: every CPU is as near.');
  const allowed = allowedCpus(system);
  const far = allowed.filter((cpu) => !nearCpus.includes(cpu));
  if (far.length === 0) {
    return pass(check, title, `The card and this process are both on node ${node}.`);
  }
  return warn(
    check,
    title,
    `The card is on node ${node} (CPUs ${formatCpuList(nearCpus)}) and this process may run on ${formatCpuList(allowed)}.`,
    `numactl --cpunodebind=${node} --membind=${node} node app.js # or: taskset -c ${formatCpuList(nearCpus)} node app.js`,
  );
}

function queues(system: System, name: string, place: Placement): Finding {
  const check = 'affinity.queues';
  const title = `${name}: queues`;
  const { receiveQueues: rx, sendQueues: tx, nearCpus } = place;
  const channels = system.driver(name)?.channels;
  const most = Math.max(channels?.maxCombined ?? 0, channels?.maxRx ?? 0);
  const sensible = Math.min(most, nearCpus.length);
  const now = Math.max(channels?.combined ?? 0, channels?.rx ?? 0);
  if (channels && sensible > now) {
    const kind = channels.maxCombined > 0 ? 'combined' : 'rx';
    return warn(
      check,
      title,
      `It uses ${now} of ${most} queues, and there are ${nearCpus.length} CPUs near it.`,
      `ethtool -L ${name} ${kind} ${sensible}`,
    );
  }
  return pass(
    check,
    title,
    `${rx} to receive and ${tx} to send, for ${nearCpus.length} near CPUs.`,
  );
}

function interruptSpread(system: System, name: string, place: Placement): Finding {
  const check = 'affinity.interrupts';
  const title = `${name}: interrupts`;
  const { interrupts: all, nearCpus, node } = place;
  const fix = `npx ktls tune --iface ${name}`;
  if (all.length === 0) {
    return info(check, title, 'The device names no interrupts of its own.');
  }
  const far = all.filter(
    ({ cpus }) => cpus.length > 0 && !cpus.some((cpu) => nearCpus.includes(cpu)),
  );
  if (far.length > 0) {
    return warn(
      check,
      title,
      `${far.length} of ${all.length} go only to CPUs off node ${node}.`,
      fix,
    );
  }
  const single = new Set(all.map(({ cpus }) => formatCpuList(cpus)));
  if (single.size === 1 && all.length > 2 && nearCpus.length > 1 && all[0]!.cpus.length === 1) {
    return warn(check, title, `All ${all.length} go to CPU ${[...single][0]!}.`, fix);
  }
  const balanced = irqbalanceRuns(system)
    ? 'irqbalance runs and may move them'
    : 'irqbalance does not run: they stay where they are';
  return pass(check, title, `${all.length}, on CPUs near the card; ${balanced}.`);
}

function isolation(system: System, { isolated }: Placement): Finding[] {
  if (isolated.length === 0) return [];
  const mine = allowedCpus(system).filter((cpu) => isolated.includes(cpu));
  return [
    mine.length > 0
      ? info(
          'affinity.isolated',
          'Isolated CPUs',
          `This process may run on ${formatCpuList(mine)}, which the scheduler does not balance: pin each of its processes to one.`,
        )
      : info(
          'affinity.isolated',
          'Isolated CPUs',
          `${formatCpuList(isolated)} are kept from the scheduler, and from this process.`,
        ),
  ];
}

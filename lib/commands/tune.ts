/** `ktls tune` */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { interfaceExists, whyNoInterface } from '../doctor/interfaces.js';
import { thisSystem } from '../doctor/system.js';
import { applySteps } from '../tuning/apply.js';
import { type Step, launchCommand, planTuning, toShell } from '../tuning/plan.js';
import { UsageError } from './usage.js';

export const help = `ktls tune --iface NAME [--apply]

Prints the commands that suit this machine: TLS flags, queues, interrupts on the CPUs near the card,
and how far the buffers of a connection may grow. Nothing is changed without --apply, which needs
root, runs them one after another, and then looks whether they took.

  --iface NAME   the interface; of a bond or VLAN also the cards that it stands on
  --apply        run the commands
`;

export function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { iface: { type: 'string' }, apply: { type: 'boolean', default: false } },
  });
  const name = values.iface;
  if (name === undefined) throw new UsageError('tune: --iface NAME is needed');
  if (!interfaceExists(thisSystem, name)) throw new UsageError(whyNoInterface(thisSystem, name));
  const steps = planTuning(thisSystem, name);
  for (const step of steps) console.log(`# ${step.why}\n${toShell(step)}`);
  const launch = launchCommand(thisSystem, name);
  if (launch !== null) console.log(`# start Node near the card\n${launch}`);
  if (steps.length === 0) console.log(`# ${name}: nothing to change`);
  return Promise.resolve(values.apply ? apply(name) : 0);
}

function apply(name: string): number {
  const plan = (): Step[] => planTuning(thisSystem, name);
  const left = applySteps(plan, perform, (line) => console.error(`ktls: ${line}`));
  for (const step of left) console.error(`ktls: did not take: ${toShell(step)}`);
  return left.length === 0 ? 0 : 1;
}

function perform({ command, write }: Step): string | null {
  try {
    if (write !== null) writeFileSync(write.path, write.value);
    if (command === null) return null;
    const { status, error, stderr } = spawnSync(command[0]!, command.slice(1), {
      encoding: 'utf8',
    });
    if (error !== undefined) return error.message;
    return status === 0 ? null : stderr.trim();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

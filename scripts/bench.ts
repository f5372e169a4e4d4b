/**
 * `npm run bench`: the benchmarks on this host's kernel if it has TLS, else in a VM that counts
 * instructions, where figures repeat within 2 % whatever else the host does.
 */
import { existsSync, readFileSync } from 'node:fs';
import ktls from 'ktls';
import { BenchError } from '../benchmarks/errors.js';
import type { Result } from '../benchmarks/result.js';
import { save } from '../benchmarks/save.js';
import { carryOut, ordersOf } from '../benchmarks/session.js';
import { type Settings, help, settingsOf } from '../benchmarks/settings.js';

function read(file: string, resume: boolean): Result | undefined {
  if (!existsSync(file)) return undefined;
  if (!resume) throw new Error(`${file} exists; --resume adds to it what it lacks`);
  return JSON.parse(readFileSync(file, 'utf8')) as Result;
}

async function bench(settings: Settings): Promise<number> {
  const { json, resume } = settings;
  const known = json === undefined ? undefined : read(json, resume);
  const vm = settings.vm || !ktls.probe().available;
  const orders = ordersOf(settings, known, vm);
  console.log(
    vm
      ? 'In a VM that counts instructions, a guest a trial: slow, and alike from run to run.'
      : 'On the wall clock, which is noisy: mind the spread.',
  );
  const { failed } = await carryOut(orders, settings, vm, known, (result) => {
    if (json !== undefined) save(json, `${JSON.stringify(result, null, 1)}\n`);
  });
  return failed === 0 ? 0 : 1;
}

try {
  const settings = settingsOf(process.argv.slice(2));
  if (settings.help) console.log(help);
  else if (settings.list) console.log(settings.trials.map(({ trial }) => trial.name).join('\n'));
  else process.exitCode = await bench(settings);
} catch (error) {
  const code = error instanceof BenchError ? `${error.code}: ` : '';
  console.error(`ktls bench: ${code}${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}

/**
 * `npm run soak`: tens of thousands of connections of every kind against one server, and a look whether
 * anything of them is left behind. On this host's kernel if it has TLS and none is named, else in a VM.
 */
import { spawn } from 'node:child_process';
import ktls from 'ktls';
import { MarkedOutput } from '../benchmarks/marked-output.js';
import { revision } from '../benchmarks/revision.js';
import { save } from '../benchmarks/save.js';
import { chart } from '../benchmarks/soak/chart.js';
import { judge, judgeTally, memorySlope } from '../benchmarks/soak/judgement.js';
import {
  SOAK_MARK,
  type SoakMessage,
  type SoakResult,
  type SoakSample,
} from '../benchmarks/soak/result.js';
import type { SoakOrder } from '../benchmarks/soak/run.js';
import { type SoakSettings, help, settingsOf } from '../benchmarks/soak/settings.js';
import { runInVm } from '../vm/run.js';

const script = 'out/benchmarks/soak/run.js';

function show({ connections, seconds, server, client, keyed }: SoakSample): void {
  const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(2);
  const state = (name: string, of: typeof server): string =>
    `${name} ${megabytes(of.heap)} MiB of ${megabytes(of.resident)}, ${of.fds} fds, ${of.handles} handles`;
  const kernel = `${keyed.tx}+${keyed.rx} keys`;
  console.log(
    `${connections} in ${seconds} s: ${state('server', server)}; ${state('clients', client)}; ${kernel}`,
  );
}

async function onHost(order: SoakOrder, onOutput: (chunk: Buffer) => void): Promise<number> {
  const child = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.on('data', onOutput);
  return new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
}

/** @returns the exit status */
async function soak(settings: SoakSettings): Promise<number> {
  const { connections, minutes, every, atOnce, json, svg } = settings;
  const order: SoakOrder = { connections, minutes, every, atOnce, revision: revision() };
  const samples: SoakSample[] = [];
  let facts: Partial<SoakResult> = {};
  const output = new MarkedOutput<SoakMessage>(SOAK_MARK, ({ sample, ...rest }) => {
    facts = { ...facts, ...rest };
    if (sample !== undefined) {
      samples.push(sample);
      show(sample);
    }
    const result = { ...facts, samples } as SoakResult;
    if (json !== undefined) save(json, `${JSON.stringify(result)}\n`);
    if (svg !== undefined && samples.length > 0) save(svg, chart(result));
  });
  const onOutput = (chunk: Buffer): void => output.read(chunk);
  const native = settings.kernel === undefined && ktls.probe().available;
  const status = native
    ? await onHost(order, onOutput)
    : (
        await runInVm({
          kernel: settings.kernel ?? 'trixie',
          command: ['node', script, JSON.stringify(order)],
          cpus: 1,
          timeoutSeconds: settings.timeout,
          onOutput,
        })
      ).status;
  if (status !== 0 || facts.tally === undefined) throw new Error(`it ended with status ${status}`);
  const problems = judge(samples);
  for (const side of ['server', 'client'] as const) {
    for (const what of ['heap', 'resident'] as const) {
      const { slope, limit } = memorySlope(samples, side, what);
      console.log(
        `${side} ${what}: ${slope.toFixed(2)} bytes a connection (≤ ${limit.toFixed(1)})`,
      );
    }
  }
  console.log(JSON.stringify(facts.tally, null, 1));
  for (const problem of problems) console.log(`LEFT BEHIND: ${problem}`);
  const notOffloaded = judgeTally(facts.tally);
  for (const problem of notOffloaded) console.log(`NOT OFFLOADED: ${problem}`);
  if (problems.length === 0)
    console.log(`nothing is left of ${samples.at(-1)!.connections} connections`);
  return problems.length + notOffloaded.length === 0 ? 0 : 1;
}

try {
  const settings = settingsOf(process.argv.slice(2));
  if (settings.help) console.log(help);
  else process.exitCode = await soak(settings);
} catch (error) {
  console.error(`ktls soak: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}

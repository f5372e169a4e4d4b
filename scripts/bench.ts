/**
 * `npm run bench`: the benchmarks on this host's kernel if it has TLS, else in a VM that counts
 * instructions, where figures repeat within 2 % whatever else the host does. Arguments are those of
 * benchmarks/run.ts; `--vm` takes the VM even so, `--json FILE` keeps the result.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import ktls from 'ktls';
import { RESULT_MARK } from '../benchmarks/result.js';
import { findWrk } from '../vm/host-programs.js';
import { runInVm } from '../vm/run.js';

const script = 'out/benchmarks/run.js';
const args = process.argv.slice(2);

function takeOption(name: string, withValue: boolean): string | undefined {
  const index = args.indexOf(name);
  if (index < 0) return undefined;
  return args.splice(index, withValue ? 2 : 1)[withValue ? 1 : 0];
}

/** Of standard output, not yet whole. */
let line = '';
let result: string | undefined;

/** Shows what comes and keeps the line that is not for eyes. */
function read(chunk: Buffer): void {
  const lines = (line + chunk.toString()).split('\n');
  line = lines.pop()!;
  for (const each of lines) {
    if (each.startsWith(RESULT_MARK)) result = each.slice(RESULT_MARK.length);
    else console.log(each);
  }
}

/** Where the load generator is found. */
async function environment(): Promise<Record<string, string>> {
  const { program, libraries } = await findWrk();
  return {
    PATH: `${dirname(program)}:${process.env['PATH'] ?? ''}`,
    ...(libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(':') } : {}),
  };
}

async function natively(): Promise<number> {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(await environment()) },
  });
  child.stdout.on('data', read);
  return new Promise((resolve) => child.on('close', (status) => resolve(status ?? 1)));
}

async function inVm(): Promise<number> {
  console.log('In a VM that counts instructions: slow, and alike from run to run.\n');
  const { status } = await runInVm({
    kernel: 'trixie',
    command: ['node', script, ...args, '--time', 'instructions'],
    env: await environment(),
    icount: true,
    timeoutSeconds: 7200,
    onOutput: read,
  });
  return status;
}

const output = takeOption('--json', true);
const inGuest = takeOption('--vm', false) !== undefined || !ktls.probe().available;
process.exitCode = await (inGuest ? inVm() : natively());
if (result === undefined) process.exitCode = 1;
else if (output !== undefined)
  writeFileSync(output, `${JSON.stringify(JSON.parse(result), null, 1)}\n`);

#!/usr/bin/env node
/** `npx ktls <command>`. Each command is a module with `help` and `run`, loaded when it is called. */
import { UsageError } from './commands/usage.js';

interface Command {
  /** Absent: it answers `--help` itself. */
  readonly help?: string;
  /** @returns the exit status */
  readonly run: (args: string[]) => Promise<number>;
}

const commands: Readonly<Record<string, [summary: string, load: () => Promise<Command>]>> = {
  doctor: ['is kernel TLS on, and why not', () => import('./commands/doctor.js')],
  counters: ['what the kernel and the network cards count', () => import('./commands/counters.js')],
  bench: ['throughput and cost, beside node:https and nginx', () => import('./commands/bench.js')],
  serve: ['a directory over HTTPS', () => import('./commands/serve.js')],
  tune: ['commands that suit a network card', () => import('./commands/tune.js')],
};

const usage = (): string =>
  [
    'ktls <command> [options]',
    '',
    ...Object.entries(commands).map(([name, [summary]]) => `  ${name.padEnd(10)}${summary}`),
    '',
    'ktls <command> --help tells more.',
    '',
  ].join('\n');

const asksForHelp = (arg: string): boolean => arg === '--help' || arg === '-h';

/** Whoever read the output has seen enough, as `head` has. */
function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

async function main([name, ...args]: string[]): Promise<number> {
  // A server outlives the readers of its log.
  if (name !== 'serve' || args.some(asksForHelp)) endWithReader();
  if (name === undefined || asksForHelp(name) || name === 'help') {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) throw new UsageError(`no command '${name}'\n\n${usage()}`);
  const command = await entry[1]();
  if (command.help !== undefined && args.some(asksForHelp)) {
    process.stdout.write(command.help);
    return 0;
  }
  return command.run(args);
}

/** What `util.parseArgs` throws. */
const isUsageError = (error: unknown): error is Error =>
  error instanceof UsageError ||
  (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!isUsageError(error)) throw error;
  process.stderr.write(`ktls: ${error.message}\n`);
  process.exitCode = 2;
}

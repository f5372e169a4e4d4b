import { spawn } from 'node:child_process';
import { VmError } from './errors.js';

/** Other users' PATH has no sbin, where Debian keeps modprobe and depmod. */
const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

/** The environment for host programs: messages in English, for the errors that quote them. */
export const hostEnvironment: NodeJS.ProcessEnv = { ...process.env, PATH: path, LC_ALL: 'C.UTF-8' };

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: Uint8Array | string;
  /** Exit statuses that are no failure; default only 0. */
  readonly accept?: readonly number[];
}

/**
 * Runs a host program to its end.
 * @returns its standard output
 * @throws VmError ERR_KTLS_VM_TOOL_FAILED with the end of its standard error
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Buffer> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: hostEnvironment,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  let complaint = '';
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  child.stdin.on('error', () => undefined); // EPIPE: its exit status says more
  child.stdin.end(options.input);
  const status = await new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  if (typeof status !== 'number' || !(options.accept ?? [0]).includes(status)) {
    throw new VmError(
      'ERR_KTLS_VM_TOOL_FAILED',
      `${program} ${args.slice(0, 3).join(' ')} failed (${status})\n${complaint.trimEnd()}`,
    );
  }
  return Buffer.concat(output);
}

/** `run`, with its standard output as text. */
export async function runText(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return (await run(program, args, options)).toString();
}

/** Quotes a word for a POSIX shell. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

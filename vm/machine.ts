import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ended, kill, spawnBound } from './children.js';
import { VmError } from './errors.js';
import { findQemu } from './host-programs.js';
import { descriptors, qemuArguments, type Machine } from './qemu.js';
import { parseVerdict } from './verdict.js';

/** How long a guest may take to power off after its verdict. */
const farewellMs = 5_000;
const consoleLines = 40;

/** Takes the guest's output; a promise holds the guest back until it is settled. */
export type OutputSink = (chunk: Buffer) => Promise<void> | void;

/** The default sink. */
export const toStdout: OutputSink = async (chunk) => {
  // A stdout whose reader has gone never drains.
  if (!process.stdout.write(chunk) && process.stdout.writable) await once(process.stdout, 'drain');
};

export interface BootOptions {
  readonly deadlineMs: number;
  readonly output: OutputSink;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs one machine from power-on to power-off.
 * @returns the status that the guest reported
 * @throws VmError the harness's own failures, with the end of the guest's console
 */
export async function boot(
  machine: Omit<Machine, 'firmware'>,
  { deadlineMs, output, signal }: BootOptions,
): Promise<number> {
  const { program, libraries, firmware } = await findQemu();
  const aborted = new VmError('ERR_KTLS_VM_ABORTED', 'the run was aborted');
  if (signal?.aborted) throw aborted;
  const qemu = spawnBound(program, qemuArguments({ ...machine, firmware }), {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    libraries,
  });
  const end = ended(qemu);
  let complaint = '';
  qemu.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });

  let stopped: VmError | undefined;
  const stop = (reason?: VmError): void => {
    stopped ??= reason;
    qemu.kill('SIGKILL');
  };
  const abort = (): void => stop(aborted);
  const deadline = setTimeout(() => {
    const message = `no end after ${deadlineMs / 1000} s`;
    stop(new VmError('ERR_KTLS_VM_TIMEOUT', message));
  }, deadlineMs);
  signal?.addEventListener('abort', abort);
  let farewell: NodeJS.Timeout | undefined;
  try {
    let verdict = '';
    const [relayed] = await Promise.allSettled([
      drain(qemu.stdio[descriptors.output] as Readable, output).catch((error: unknown) => {
        stop();
        throw error;
      }),
      drain(qemu.stdio[descriptors.verdict] as Readable, (chunk) => {
        verdict = (verdict + chunk.toString()).slice(0, 4096);
        farewell ??= setTimeout(stop, farewellMs);
      }),
      end,
    ]);
    if (relayed.status === 'rejected') throw relayed.reason;
    if (stopped) throw stopped;
    return parseVerdict(verdict);
  } catch (error) {
    if (!(error instanceof VmError) || error.code === 'ERR_KTLS_VM_ABORTED') throw error;
    throw new VmError(error.code, await explain(error.message, machine.console, complaint));
  } finally {
    clearTimeout(deadline);
    clearTimeout(farewell);
    signal?.removeEventListener('abort', abort);
    await kill(qemu);
  }
}

async function drain(channel: Readable, sink: OutputSink): Promise<void> {
  for await (const chunk of channel) await sink(chunk as Buffer);
}

async function explain(message: string, file: string, complaint: string): Promise<string> {
  const console = await readFile(file, 'utf8').catch(() => '');
  const lines = console.replaceAll('\r', '').trimEnd().split('\n');
  const tail = lines.slice(-consoleLines).join('\n');
  return [
    message,
    ...(complaint === '' ? [] : [`--- QEMU\n${complaint.trimEnd()}`]),
    `--- the end of the guest's console\n${tail === '' ? '(nothing)' : tail}`,
  ].join('\n');
}

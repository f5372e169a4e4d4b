import { copyFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseAccelerator } from './accelerator.js';
import { shellQuote } from './command.js';
import { VmError } from './errors.js';
import { fetchKernel } from './fetch-kernel.js';
import { nodeDirectory } from './fetch-node.js';
import { buildInitramfs } from './initramfs.js';
import { isKernelName, type KernelName } from './kernels.js';
import { boot, toStdout, type OutputSink } from './machine.js';
import type { Accelerator } from './qemu.js';
import { makeRunDirectory } from './run-directory.js';
import { serveRoot } from './share.js';
import { requireTools } from './tools.js';

export interface RunInVmOptions {
  readonly kernel: KernelName;
  /** The program and its arguments; no shell reads them. */
  readonly command: readonly string[];
  /**
   * One instruction is one nanosecond: slow, and alike from run to run. Time jumps while the guest
   * waits for the host's files, so measure what has been read before. Default false.
   */
  readonly icount?: boolean;
  /** With icount: whether the CPU has fast string instructions, of which each byte counts. Default true. */
  readonly stringInstructions?: boolean;
  /** Another Node for the guest: a major or a version. Default: the one that runs this. */
  readonly node?: string | number;
  /** Further variables; the host's own environment does not come along. */
  readonly env?: Readonly<Record<string, string>>;
  /** For the start and the command together, in seconds. Default 900. */
  readonly timeoutSeconds?: number;
  /** Default 4096; taken from the host as the guest touches it. */
  readonly memoryMiB?: number;
  /** Default 2; always 1 with icount. */
  readonly cpus?: number;
  /** False leaves the tls module unloaded; `modprobe tls` then still works. Default true. */
  readonly tlsModule?: boolean;
  /** Default: KVM where it works, else TCG. */
  readonly accelerator?: Accelerator;
  /** TCP ports that the command listens on, on all addresses, and the host's loopback then has too. */
  readonly ports?: readonly number[];
  /** The command's working directory. Default: ours. */
  readonly cwd?: string;
  /** Gets stdout and stderr, merged, as they come. Default: writes them to process.stdout. */
  readonly onOutput?: OutputSink;
  /** A file that gets the kernel's console, whatever the outcome. */
  readonly consoleFile?: string;
  /** Looks for a newer kernel. */
  readonly update?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs a command as root under a Debian kernel in QEMU. The guest sees the host's files; what it
 * changes it keeps to itself, and loses at its end. What the host changes meanwhile it may not see.
 * There is no network but `lo` and the ports asked for, and no stdin.
 * @returns the command's exit status (128 + n if signal n ended it)
 * @throws VmError if the guest gave anything but one verdict, in time; the message ends with the
 *   guest's console
 */
export async function runInVm(options: RunInVmOptions): Promise<{ status: number }> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const host = `${process.platform} ${process.arch}`;
    throw new VmError(
      'ERR_KTLS_VM_UNSUPPORTED_HOST',
      `the VM harness needs Linux x64, not ${host}`,
    );
  }
  if (!isKernelName(options.kernel) || options.command.length === 0) {
    throw new VmError('ERR_KTLS_VM_USAGE', 'a kernel and a command are needed');
  }
  await requireTools(['flock', 'setpriv']);
  const kernel = await fetchKernel(options.kernel, options.update);
  const initramfs = await buildInitramfs(kernel);
  const node = await nodeDirectory(options.node?.toString());
  const { signal } = options;

  const directory = await makeRunDirectory();
  const console = join(directory, 'console');
  const socket = join(directory, 'root.sock');
  try {
    await writeFile(join(directory, 'command'), commandScript(options, node));
    const settings = await settingsScript(options.cwd ?? process.cwd(), node, kernel.base);
    await writeFile(join(directory, 'settings'), settings);
    const machine = {
      icount: options.icount ?? false,
      stringInstructions: options.stringInstructions ?? true,
      cpus: options.cpus ?? 2,
      memoryMiB: options.memoryMiB ?? 4096,
      vmlinux: kernel.vmlinux,
      initramfs,
      ports: options.ports ?? [],
      guest: { runDirectory: directory, loadTls: options.tlsModule ?? true },
    };
    const accelerator = machine.icount
      ? 'tcg'
      : (options.accelerator ?? (await chooseAccelerator(machine, directory, signal)));
    const share = await serveRoot(socket);
    try {
      const status = await boot(
        { ...machine, accelerator, console, share: socket },
        {
          deadlineMs: (options.timeoutSeconds ?? 900) * 1000,
          output: options.onOutput ?? toStdout,
          signal,
        },
      );
      return { status };
    } finally {
      await share.stop();
    }
  } finally {
    if (options.consoleFile) await copyFile(console, options.consoleFile).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  }
}

/** What becomes of the guest's shell: the command, in an environment of its own. */
function commandScript({ command, env, kernel }: RunInVmOptions, node: string): string {
  const variables = {
    PATH: `${node}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/root',
    LANG: 'C.UTF-8',
    KTLS_VM: kernel,
    ...env,
  };
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  // Not plain `env`: busybox would run its own, and its own `sh` and `id` after that.
  return `exec /usr/bin/env -i ${[...assignments, ...command].map(shellQuote).join(' ')}\n`;
}

async function settingsScript(cwd: string, node: string, base: string): Promise<string> {
  const keep = new Set<string>();
  for (const path of [await realpath(cwd), await realpath(node)]) {
    const underTmp = /^\/tmp\/[^/]+/.exec(path);
    if (underTmp) keep.add(underTmp[0]);
  }
  return [
    `cwd=${shellQuote(cwd)}`,
    `modules=${shellQuote(join(base, 'lib', 'modules'))}`,
    `started=${Math.floor(Date.now() / 1000)}`,
    ...[...keep].map((directory) => `keep ${shellQuote(directory)}`),
    '',
  ].join('\n');
}

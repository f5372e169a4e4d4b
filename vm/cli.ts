import { parseArgs } from 'node:util';
import { VmError } from './errors.js';
import { isKernelName, kernels } from './kernels.js';
import { runInVm, type RunInVmOptions } from './run.js';

/** The status of a failure that is the harness's, not the command's. */
const harnessFailed = 125;

const help = `Runs a command as root under a Debian kernel with kernel TLS, in QEMU.

  npm run vm -- [options] -- <command> [arguments]

  --kernel NAME     ${Object.keys(kernels).join(', ')} (default trixie)
  --node VERSION    another Node for the guest, such as 24 (default: this one)
  --env NAME=VALUE  a variable for the command; may be repeated
  --icount          one instruction is one nanosecond: slow, but alike from run to run
  --no-string-instructions
                    with --icount: the CPU has no fast ones, of which each byte would count
  --timeout S       a deadline for start and command together (default 900)
  --smp N           processors (default 2; 1 with --icount)
  --memory MIB      memory (default 4096)
  --no-tls-module   leave the tls module unloaded ('modprobe tls' works)
  --accel NAME      kvm or tcg (default: KVM if it works here, which is tried once a boot)
  --console FILE    keep the kernel's console
  --update          look for a newer kernel
  --help

The command sees the host's files, this directory included; what it changes is gone afterwards. It
has no network but lo, and no stdin. Its environment is PATH, HOME, LANG, KTLS_VM (the kernel's
name) and what --env adds. /tmp is empty, but for a checkout in it.
The exit status is the command's, or ${harnessFailed} if there is none to tell; the reason, with the end of the
kernel's console, is then on stderr.
Kernels, QEMU and virtiofsd come through apt from the machine's own mirrors into $KTLS_VM_CACHE,
or ktls-vm in $XDG_CACHE_HOME or ~/.cache; the system itself is not changed, except that root gets
missing tools (cpio, kmod, xz-utils, zstd, lz4) installed.
`;

const optionTypes = {
  accel: { type: 'string' },
  console: { type: 'string' },
  env: { type: 'string', multiple: true },
  help: { type: 'boolean', default: false },
  icount: { type: 'boolean', default: false },
  kernel: { type: 'string', default: 'trixie' },
  memory: { type: 'string', default: '4096' },
  'no-string-instructions': { type: 'boolean', default: false },
  'no-tls-module': { type: 'boolean', default: false },
  node: { type: 'string' },
  smp: { type: 'string', default: '2' },
  timeout: { type: 'string', default: '900' },
  update: { type: 'boolean', default: false },
} as const;

function parse(args: readonly string[]): RunInVmOptions | undefined {
  const split = args.indexOf('--');
  const values = parseOptions(split < 0 ? args : args.slice(0, split));
  if (values.help) return undefined;
  const command = split < 0 ? [] : args.slice(split + 1);
  if (command.length === 0) throw usage('no command after --');
  const { kernel, accel } = values;
  if (!isKernelName(kernel)) throw usage(`no kernel '${kernel}'`);
  if (accel !== undefined && accel !== 'kvm' && accel !== 'tcg') throw usage(`no '${accel}'`);
  return {
    kernel,
    command,
    icount: values.icount,
    stringInstructions: !values['no-string-instructions'],
    env: Object.fromEntries((values.env ?? []).map(parseVariable)),
    timeoutSeconds: parseCount('--timeout', values.timeout),
    memoryMiB: parseCount('--memory', values.memory),
    cpus: parseCount('--smp', values.smp),
    tlsModule: !values['no-tls-module'],
    update: values.update,
    ...(values.node === undefined ? {} : { node: values.node }),
    ...(accel === undefined ? {} : { accelerator: accel }),
    ...(values.console === undefined ? {} : { consoleFile: values.console }),
  };
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: optionTypes }).values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function usage(message: string): VmError {
  return new VmError('ERR_KTLS_VM_USAGE', `${message}; see --help`);
}

function parseCount(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw usage(`${option} ${text}: not a count`);
  return count;
}

function parseVariable(text: string): [string, string] {
  const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw usage(`--env ${text}: not NAME=VALUE`);
  return [name, value];
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2));
  if (!options) {
    process.stdout.write(help);
    return 0;
  }
  const controller = new AbortController();
  let signalStatus: number | undefined;
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      signalStatus ??= 128 + numbers[name];
      controller.abort();
    });
  }
  // Our reader has gone, as in `npm run vm -- ... | head`.
  process.stdout.on('error', () => {
    signalStatus ??= 128 + 13;
    controller.abort();
  });
  try {
    return (await runInVm({ ...options, signal: controller.signal })).status;
  } catch (error) {
    if (signalStatus !== undefined) return signalStatus;
    throw error;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const text = error instanceof Error ? error : new Error(String(error));
  const code = 'code' in text ? ` [${String(text.code)}]` : '';
  process.stderr.write(`ktls-vm:${code} ${text.message}\n`);
  process.exitCode = harnessFailed;
}

/**
 * Every flag that QEMU and the guest's kernel get. Debian's QEMU >= 10 is required: with 7.2
 * (bookworm) TCG makes 6.12 fall over in double faults as soon as the guest works hard.
 */

/** Descriptors that QEMU inherits, by the number they have in its process. */
export const descriptors = { output: 3, verdict: 4 } as const;

export type Accelerator = 'kvm' | 'tcg';

/** What vm/guest/init finds on its command line. */
export interface GuestParameters {
  /** The host's directory with `command` and `settings`; none: only prove that the kernel boots. */
  readonly runDirectory?: string;
  readonly loadTls: boolean;
}

export interface Machine {
  readonly accelerator: Accelerator;
  /** One guest nanosecond is one instruction; implies TCG and one CPU. */
  readonly icount: boolean;
  /**
   * Whether the CPU has fast string instructions (`rep movsb`), by which the kernel and libc then copy and clear
   * all that is long: QEMU counts each byte of them. Without, libc copies by vectors, 32 bytes an instruction,
   * the kernel by 8.
   */
  readonly stringInstructions: boolean;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly vmlinux: string;
  readonly initramfs: string;
  /** virtiofsd's socket. */
  readonly share?: string;
  /** Ports of the host's loopback that are the guest's own; none: no network. */
  readonly ports: readonly number[];
  /** The file for the kernel's console. */
  readonly console: string;
  /** Directories with QEMU's firmware, if not its own. */
  readonly firmware: readonly string[];
  readonly guest: GuestParameters;
}

/** QEMU's command line. */
export function qemuArguments(machine: Machine): string[] {
  const memory = `${machine.memoryMiB}M`;
  return [
    ...machine.firmware.flatMap((directory) => ['-L', directory]),
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...processor(machine),
    ...['-m', memory, '-machine', 'pc,memory-backend=ram'],
    // Shared memory is what a vhost-user device needs; pages are taken as the guest touches them.
    ...['-object', `memory-backend-memfd,id=ram,size=${memory},share=on`],
    ...['-kernel', machine.vmlinux, '-initrd', machine.initramfs],
    ...['-append', kernelArguments(machine)],
    ...['-serial', `file:${machine.console}`],
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...port('output', 1),
    ...port('verdict', 2),
    ...(machine.share ? share(machine.share) : []),
    ...network(machine.ports),
  ];
}

function processor({ accelerator, icount, stringInstructions, cpus }: Machine): string[] {
  if (icount) {
    const single = ['-accel', 'tcg,thread=single', '-icount', 'shift=0,sleep=off'];
    const model = stringInstructions ? 'max' : 'max,erms=off,fsrm=off';
    return [...single, '-cpu', model, '-smp', '1'];
  }
  const chosen =
    accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'max'];
  return [...chosen, '-smp', String(cpus)];
}

/** A channel of bytes: an inherited socket here, /dev/vport?p<number> there. */
function port(name: keyof typeof descriptors, number: number): string[] {
  const backend = `socket,id=${name},fd=${descriptors[name]}`;
  return ['-chardev', backend, '-device', `virtserialport,chardev=${name},nr=${number}`];
}

function share(socket: string): string[] {
  const device = 'vhost-user-fs-pci,chardev=share,tag=root';
  return ['-chardev', `socket,id=share,path=${socket}`, '-device', device];
}

/** The guest is 10.0.2.15 (vm/guest/session), and may begin no connection. */
function network(ports: readonly number[]): string[] {
  if (ports.length === 0) return ['-nic', 'none'];
  const forwards = ports.map((port) => `hostfwd=tcp:127.0.0.1:${port}-:${port}`);
  const backend = ['user', 'id=network', 'restrict=on', ...forwards].join(',');
  // Firmware for booting from a network is a package of its own.
  return ['-netdev', backend, '-device', 'virtio-net-pci,netdev=network,romfile='];
}

function kernelArguments({ accelerator, icount, guest }: Machine): string {
  return [
    'console=ttyS0 quiet',
    // A panic reboots at once, and -no-reboot makes that the end.
    'panic=-1',
    'mitigations=off',
    // The watchdogs take a host busy with other work for a broken guest.
    'tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1',
    // Under emulation on a busy host the TSC's rate is measured wrong at the start, and stays so: the guest's
    // clock was seen to run six times too fast (load 9 on 2 CPUs, 6.12). QEMU's HPET keeps the host's time.
    ...(accelerator === 'tcg' && !icount ? ['clocksource=hpet'] : []),
    // For a fast start. Algorithms' self-tests are the distribution's business.
    'cryptomgr.notests rcupdate.rcu_expedited=1 8250.nr_uarts=1',
    guest.runDirectory === undefined ? 'ktls.probe' : `ktls.run=${guest.runDirectory}`,
    ...(guest.loadTls ? [] : ['ktls.notls']),
  ].join(' ');
}

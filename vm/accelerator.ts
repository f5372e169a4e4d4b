import { accessSync, constants } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachePath, withLock } from './cache.js';
import { VmError } from './errors.js';
import { boot } from './machine.js';
import type { Accelerator, Machine } from './qemu.js';

/** A guest reaches its init within a second under a KVM that works. */
const probeDeadlineMs = 10_000;

/**
 * KVM if it works here, else TCG. A /dev/kvm that opens proves little (inside some virtual
 * machines the guest hangs after real mode, Linux 6.18 host, QEMU 10.0, 2026-11), so the machine
 * is started once; the answer holds until the host's next boot.
 */
export async function chooseAccelerator(
  machine: Omit<Machine, 'accelerator' | 'firmware' | 'console'>,
  directory: string,
  signal?: AbortSignal,
): Promise<Accelerator> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return 'tcg';
  }
  const file = cachePath('kvm.txt');
  const thisBoot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return withLock(file, async () => {
    const [known, answer] = (await readFile(file, 'utf8').catch(() => '')).split(' ');
    if (known === thisBoot && (answer === 'kvm' || answer === 'tcg')) return answer;
    const { runDirectory: _, ...guest } = machine.guest;
    const console = join(directory, 'kvm-console');
    const options = { deadlineMs: probeDeadlineMs, output: () => undefined, signal };
    const found = await boot({ ...machine, guest, console, accelerator: 'kvm' }, options).then(
      () => 'kvm' as const,
      (error: unknown) => {
        if (error instanceof VmError && error.code === 'ERR_KTLS_VM_ABORTED') throw error;
        return 'tcg' as const;
      },
    );
    await writeFile(file, `${thisBoot} ${found}`);
    return found;
  });
}

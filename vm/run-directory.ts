import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readlink, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A fresh private directory for one run. Its name tells whose it is, so that the directories of
 * runs that were killed outright are removed here, and those of other PID namespaces sharing /tmp
 * are not.
 */
export async function makeRunDirectory(): Promise<string> {
  const temporary = await realpath(tmpdir());
  // It stands on the guest kernel's command line (no blanks) and on QEMU's (no commas), and a Unix
  // socket's path has at most 107 bytes.
  const fits = !/[\s,]/.test(temporary) && Buffer.byteLength(temporary) < 60;
  const parent = fits ? temporary : '/tmp';
  const namespace = /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? '0';
  const prefix = `ktls-vm-${namespace}-`;
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(prefix) ? /^\d+/.exec(name.slice(prefix.length))?.[0] : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }
  return mkdtemp(join(parent, `${prefix}${process.pid}-`));
}

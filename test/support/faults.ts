/** Failing system calls: the library of `faults/faults.c`, built when first asked for. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmdirSync } from 'node:fs';
import { constants, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** As `faults/faults.c` explains them. */
export type FaultyCall =
  | ('ulp' | 'tx' | 'rx' | 'count' | 'socket' | 'send' | 'recv' | 'watch')
  | ('sendmsg' | 'recvmsg' | 'sendfile' | 'write');
export type Errno = keyof typeof constants.errno;

/** The value of `KTLS_FAULT`: the nth such call from now on fails, or each of them (0). */
export const fault = (call: FaultyCall, errno: Errno, nth = 1): string =>
  `${call} ${constants.errno[errno]} ${nth}`;

/** The environment of a process in which `KTLS_FAULT` works. */
export function withFaults(): NodeJS.ProcessEnv {
  // Behind what is there already, as sanitizers must be.
  const others = process.env['LD_PRELOAD']?.split(':').filter(Boolean) ?? [];
  return { LD_PRELOAD: [...others, library()].join(':') };
}

function library(): string {
  const source = fileURLToPath(new URL('faults/faults.c', import.meta.url));
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const file = join(tmpdir(), `ktls-test-faults-${userInfo().uid}-${hash}.so`);
  if (!existsSync(file)) {
    const scratch = mkdtempSync(join(tmpdir(), 'ktls-faults-'));
    const unfinished = join(scratch, 'faults.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', unfinished, source, '-ldl']);
    renameSync(unfinished, file);
    rmdirSync(scratch);
  }
  return file;
}

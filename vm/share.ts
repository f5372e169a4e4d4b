import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended, kill, spawnBound } from './children.js';
import { VmError } from './errors.js';
import { findVirtiofsd } from './host-programs.js';

const startDeadlineMs = 10_000;

/** The lock file that virtiofsd 7.2 leaves behind. */
function pidFile(socket: string): string {
  return join('/var/run/virtiofsd', `${socket.replaceAll('/', '.')}.pid`);
}

/**
 * Serves the host's root to one guest over virtiofs. virtiofs because Debian's cloud kernels have
 * no 9p. The guest mounts it read-only; it ends when QEMU disconnects.
 * @param socket the path to listen on
 * @throws VmError ERR_KTLS_VM_SHARE
 */
export async function serveRoot(socket: string): Promise<{ stop: () => Promise<void> }> {
  const { program, libraries, inC } = await findVirtiofsd();
  const isRoot = process.getuid?.() === 0;
  const args = inC
    ? [`--socket-path=${socket}`, '-o', 'source=/,sandbox=chroot,cache=always']
    : [
        ...['--socket-path', socket, '--shared-dir', '/', '--cache', 'always', '--readonly'],
        // An overlay does not cross into another filesystem: the guest must see but one.
        ...['--no-announce-submounts', '--sandbox', isRoot ? 'chroot' : 'none'],
      ];
  if (inC && !isRoot) {
    // In a user namespace it starts, but the guest's overlay opens with O_NOATIME, which only a
    // file's owner may on the host: every exec is EPERM. virtiofsd in Rust (trixie) drops the flag.
    const remedy = 'virtiofsd of QEMU 7.2 needs root: run this as root, or on trixie';
    throw new VmError('ERR_KTLS_VM_UNSUPPORTED_HOST', remedy);
  }
  const child = spawnBound(program, args, { stdio: ['ignore', 'ignore', 'pipe'], libraries });
  await listening(child, socket);
  return {
    stop: async () => {
      await kill(child);
      if (inC) await rm(pidFile(socket), { force: true });
    },
  };
}

async function listening(child: ChildProcess, socket: string): Promise<void> {
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  let end: number | string | undefined;
  void ended(child).then((status) => {
    end = status;
  });
  const deadline = Date.now() + startDeadlineMs;
  while (!existsSync(socket)) {
    if (end !== undefined || Date.now() > deadline) {
      await kill(child);
      const how = end === undefined ? 'does not listen' : `ended (${end})`;
      throw new VmError('ERR_KTLS_VM_SHARE', `virtiofsd ${how}\n${complaint.trimEnd()}`);
    }
    await sleep(5);
  }
}

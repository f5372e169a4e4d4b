import type { ChildProcess, StdioOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended, kill, spawnBound } from './children.js';
import { VmError } from './errors.js';
import { findVirtiofsd } from './host-programs.js';

const startDeadlineMs = 10_000;

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
  const stdio: StdioOptions = ['ignore', 'ignore', 'pipe'];
  // The one in C serves only root, or what looks like it, and then may not raise its limits.
  const child =
    inC && !isRoot
      ? spawnBound('unshare', ['-r', '-m', program, '--rlimit-nofile=0', ...args], {
          stdio,
          libraries,
        })
      : spawnBound(program, args, { stdio, libraries });
  await listening(child, socket);
  return { stop: () => kill(child) };
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

/** How the scripts run vitest. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { nodeDirectory } from '../vm/fetch-node.js';
import type { KernelName } from '../vm/kernels.js';
import { runInVm } from '../vm/run.js';
import { wantedOr } from './kernels.js';

export const vitest = 'node_modules/vitest/vitest.mjs';

export const KERNEL_TESTS = 'test/kernel';
/**
 * Other programs as peers: once, on the first kernel that is not 6.1, which leaves most ciphers, and so most
 * of these connections, to node:tls.
 */
export const INTEROP_TESTS = 'test/interop';
/** Programs from start to end, which are Node's matter more than the kernel's: once, on the last kernel. */
export const NODE_TESTS = 'test/lifecycle';
/** Whatever an ordinary run has that needs kernel TLS. */
export const NEED_KERNEL_TLS: readonly string[] = [KERNEL_TESTS, NODE_TESTS, INTEROP_TESTS];

/** All files in one thread. */
const together = ['--pool=threads', '--no-isolate'] as const;

/**
 * In a VM: to start another process, or to load the same modules again, takes seconds under emulation, a
 * third of the whole time.
 */
export const guestCommand = (paths: readonly string[]): string[] => [
  ...['node', vitest, 'run', ...together],
  ...paths,
];

/**
 * Fills vitest's cache of compiled modules, which guests find in `node_modules`. It goes by Node's version.
 * @param node of the guest, if not this one.
 */
export async function compileTests(paths: readonly string[], node?: string): Promise<void> {
  const program = node === undefined ? process.execPath : join(await nodeDirectory(node), 'node');
  const child = spawn(program, [vitest, 'list', ...together, ...paths], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise((resolve) => child.on('close', resolve));
}

/**
 * Runs tests that need kernel TLS in a VM, on each kernel of `KTLS_KERNELS` (default `trixie`), and sets the
 * exit code.
 * @param environment further variables, by kernel
 */
export async function testOnKernels(
  paths: readonly string[],
  environment: (kernel: KernelName) => Promise<Record<string, string>>,
  timeoutSeconds?: number,
): Promise<void> {
  await compileTests(paths);
  for (const kernel of wantedOr(['trixie'])) {
    console.log(`\n== kernel ${kernel}: ${paths.join(' ')}`);
    const { status } = await runInVm({
      kernel,
      command: guestCommand(paths),
      env: { ...(await environment(kernel)), KTLS_EXPECTED: '1' },
      cpus: 1,
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    });
    if (status !== 0) process.exitCode = 1;
  }
}

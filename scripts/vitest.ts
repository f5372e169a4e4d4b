/** How the scripts run vitest. */
import { spawn } from 'node:child_process';

export const vitest = 'node_modules/vitest/vitest.mjs';

/** In a VM. Threads: a process takes seconds to start under emulation. */
export const guestCommand = (paths: readonly string[]): string[] => [
  ...['node', vitest, 'run', '--pool=threads'],
  ...paths,
];

/** Fills vitest's cache of compiled modules, which guests find in `node_modules`. */
export async function compileTests(paths: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [vitest, 'list', ...paths], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise((resolve) => child.on('close', resolve));
}

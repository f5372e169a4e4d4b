import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';

const living = new Set<ChildProcess>();
let watching = false;

/**
 * Starts a program that must not outlive us: the kernel kills it when we die of whatever cause
 * (PR_SET_PDEATHSIG), and process.exit() kills it on the way out.
 */
export function spawnBound(
  program: string,
  args: readonly string[],
  options: { readonly stdio: StdioOptions; readonly libraries: readonly string[] },
): ChildProcess {
  if (!watching) {
    watching = true;
    process.on('exit', () => {
      for (const child of living) child.kill('SIGKILL');
    });
  }
  const env: NodeJS.ProcessEnv = { ...process.env };
  if (options.libraries.length > 0) env['LD_LIBRARY_PATH'] = options.libraries.join(':');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
    env,
    stdio: options.stdio,
  });
  living.add(child);
  child.on('error', () => living.delete(child));
  child.on('exit', () => living.delete(child));
  return child;
}

/** Resolves when a child has ended, or could not be started: with its status or its signal. */
export function ended(child: ChildProcess): Promise<number | string> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  if (child.signalCode !== null) return Promise.resolve(child.signalCode);
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
}

/** Kills a child and waits for its end. */
export async function kill(child: ChildProcess): Promise<void> {
  const end = ended(child);
  if (child.pid === undefined) return;
  child.kill('SIGKILL');
  await end;
}

/** The facts beside the figures. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** `instructions`: a guest in which one nanosecond is one instruction. `clock`: this host's own time. */
export type Time = 'instructions' | 'clock';

export interface Machine {
  readonly kernel: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memory: number;
  readonly node: string;
  readonly openssl: string;
  readonly time: Time;
}

export function machine(time: Time): Machine {
  const [model] = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1')) ?? [];
  return {
    kernel: release(),
    cpu: model?.replace(/^.*:\s*/, '') ?? 'unknown',
    cpus: cpus().length,
    memory: totalmem(),
    node: process.version,
    openssl: process.versions.openssl,
    time,
  };
}

/** Of the tools that make the load. */
export function toolVersions(): Record<string, string> {
  const first = (program: string, ...args: string[]): string => {
    try {
      return execFileSync(program, args, { encoding: 'latin1', stdio: 'pipe' }).split('\n')[0]!;
    } catch (error) {
      // wrk says its version together with its usage, and fails.
      return (error as { stdout: string }).stdout.split('\n')[0]!;
    }
  };
  return {
    wrk: first('wrk', '--version'),
    curl: first('curl', '--version'),
    openssl: first('openssl', 'version'),
  };
}

/** The facts beside the figures. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';

/** `instructions`: a guest in which one nanosecond is one instruction. `clock`: this host's own time. */
export type Time = 'instructions' | 'clock';

/**
 * How a guest that counts instructions copies what is long: by string instructions, of which each byte counts, or
 * by vectors of 32 bytes (the kernel by 8). Real CPUs lie between the two.
 */
export type Copies = 'strings' | 'vectors';

/** What the measured machine is not asked for, since whoever has set it up knows. */
export interface Setting {
  readonly time: Time;
  readonly copies: Copies;
  /** The version of QEMU that counts instructions. */
  readonly qemu?: string;
}

/** Of the machine itself. */
export interface Host {
  readonly kernel: string;
  readonly cpu: string;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly node: string;
  readonly openssl: string;
}

export interface Machine extends Host {
  readonly time: Time;
  /** Where instructions are counted. Absent from older results: by strings. */
  readonly copies?: Copies;
  /** Of the other servers, of the tools that make the load, and of QEMU. `none`: not there, not needed. */
  readonly tools: Readonly<Record<string, string>>;
}

export function host(): Host {
  const [model] = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1')) ?? [];
  return {
    kernel: release(),
    cpu: model?.replace(/^.*:\s*/, '') ?? 'unknown',
    cpus: cpus().length,
    memory: totalmem(),
    node: process.version,
    openssl: process.versions.openssl,
  };
}

export function machine({ time, copies, qemu = 'none' }: Setting): Machine {
  return {
    ...host(),
    time,
    ...(time === 'instructions' ? { copies } : {}),
    tools: {
      nginx: versionOf('nginx', '-v'),
      h2load: versionOf('h2load', '--version'),
      wrk: versionOf('wrk', '-v'),
      curl: versionOf('curl', '--version'),
      openssl: versionOf('openssl', 'version'),
      undici: versionOfPackage('undici') ?? 'none',
      qemu,
    },
  };
}

/** A package that only benchmarks need, and which may not be there. */
export function versionOfPackage(name: string): string | undefined {
  try {
    return (createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version;
  } catch {
    return undefined;
  }
}

/** The first word of the answer that is a version; `none` where the program is not. */
function versionOf(program: string, option: string): string {
  // wrk calls it a failure.
  const script = '"$0" "$1" 2>&1 || true';
  const text = execFileSync('sh', ['-c', script, program, option], { encoding: 'latin1' });
  return /\d+(?:\.\d+)+\w*/.exec(text)?.[0] ?? 'none';
}

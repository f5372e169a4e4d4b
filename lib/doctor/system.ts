/**
 * The machine as the checks see it. They read it through this and nothing else, so that they are pure
 * functions, and run on recordings of other machines as well as on this one.
 */
import { constants as crypto, getFips } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { loadBinding } from '../kernel/binding.js';
import { type InterfaceFacts, interfaceFacts } from '../kernel/ethtool.js';
import { type KernelFeatures, kernelFeatures } from '../kernel/features.js';
import { type CipherSupport, probe } from '../kernel/probe.js';

export interface ProcessFacts {
  readonly platform: string;
  /** `uname -r`. */
  readonly release: string;
  readonly node: string;
  readonly openssl: string;
  /** Node uses the system's OpenSSL and not its own. */
  readonly sharedOpenssl: boolean;
  readonly fips: boolean;
  /** Node's default cipher list, in OpenSSL's words. */
  readonly ciphers: readonly string[];
  readonly ldPreload: string;
  /** Why the addon does not load; `null` if it does. */
  readonly addonError: string | null;
}

export interface ProbeFacts {
  readonly available: boolean;
  readonly reason: { readonly code: string; readonly message: string } | null;
  readonly ciphers: readonly CipherSupport[];
}

export interface System {
  readonly process: ProcessFacts;
  /** A file's text (what `/proc/config.gz` holds, for that one); `null` if it cannot be read. */
  read(path: string): string | null;
  /** The names in a directory, sorted; none if it cannot be read. */
  list(path: string): readonly string[];
  /** Where a symbolic link leads, as it stands there; `null` if it is none. */
  link(path: string): string | null;
  probe(): ProbeFacts;
  features(): KernelFeatures;
  /** What an interface's driver says; `null` if there is no such interface, or no addon. */
  driver(name: string): InterfaceFacts | null;
}

/** This machine. */
export const thisSystem: System = {
  get process() {
    const binding = loadBinding();
    return {
      platform: process.platform,
      release: release(),
      node: process.versions.node,
      openssl: process.versions.openssl,
      sharedOpenssl:
        (process.config.variables as { node_shared_openssl?: unknown }).node_shared_openssl ===
        true,
      fips: getFips() === 1,
      ciphers: crypto.defaultCipherList.split(':'),
      ldPreload: process.env['LD_PRELOAD'] ?? '',
      addonError: binding instanceof Error ? binding.message : null,
    };
  },
  read(path) {
    try {
      const bytes = readFileSync(path);
      return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
    } catch {
      return null;
    }
  },
  list(path) {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  },
  link(path) {
    try {
      return readlinkSync(path);
    } catch {
      return null;
    }
  },
  probe() {
    const { available, reason, ciphers } = probe();
    return {
      available,
      reason: reason && { code: reason.code, message: reason.message },
      ciphers,
    };
  },
  features: kernelFeatures,
  driver: interfaceFacts,
};

/** A file with one line, less the newline. */
export function readLine(system: System, path: string): string | null {
  return system.read(path)?.trim() ?? null;
}

/** Whether `/sys` is mounted, and may be read. Every network namespace has at least `lo`. */
export const sysIsReadable = (system: System): boolean => system.list('/sys/class/net').length > 0;

/** A field of `/proc/self/status`. */
export function statusField(system: System, name: string): string | null {
  const text = system.read('/proc/self/status') ?? '';
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? null;
}

const capNetAdmin = 12n;

/** Whether this process has `CAP_NET_ADMIN` in the machine's own user namespace. */
export function isNetworkAdmin(system: System): boolean {
  const effective = BigInt(`0x${statusField(system, 'CapEff') ?? '0'}`);
  return ((effective >> capNetAdmin) & 1n) === 1n && !inUserNamespace(system);
}

/** The initial user namespace maps every id to itself. */
export function inUserNamespace(system: System): boolean {
  const map = readLine(system, '/proc/self/uid_map')?.split(/\s+/);
  return map !== undefined && map.join(' ') !== '0 0 4294967295';
}

export type Version = readonly [major: number, minor: number, patch: number];

/** `[6, 12, 117]`. Debian's `uname -r` may lack the last number; its `/proc/version` has it. */
export function kernelVersion(system: System): Version {
  const debian = /Debian (\d+\.\d+\.\d+)\S* \(\d{4}-/.exec(system.read('/proc/version') ?? '')?.[1];
  const [major = 0, minor = 0, patch = 0] = (debian ?? system.process.release)
    .split(/[.+-]/)
    .map((part) => Number.parseInt(part, 10) || 0);
  return [major, minor, patch];
}

/** Numbers in a list such as `0-3,8`. */
export function parseCpuList(text: string | null): readonly number[] {
  return (text ?? '')
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, each) => first + each);
    });
}

/** The shortest list of these numbers: `0-3,8`. */
export function formatCpuList(cpus: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const cpu of [...cpus].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last?.[1] === cpu - 1) last[1] = cpu;
    else runs.push([cpu, cpu]);
  }
  return runs.map(([a, b]) => (a === b ? String(a) : `${a}-${b}`)).join(',');
}

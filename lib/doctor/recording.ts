/**
 * Everything the checks read of one machine, as one JSON document: to be replayed in tests, and to be sent
 * with a bug report. Of files that hold more than the checks want, only the lines that they want.
 */
import type { InterfaceFacts } from '../kernel/ethtool.js';
import type { KernelFeatures } from '../kernel/features.js';
import type { ProbeFacts, ProcessFacts, System } from './system.js';

export interface Recording {
  readonly process: ProcessFacts;
  readonly files: Readonly<Record<string, string>>;
  readonly directories: Readonly<Record<string, readonly string[]>>;
  readonly links: Readonly<Record<string, string>>;
  readonly drivers: Readonly<Record<string, InterfaceFacts>>;
  readonly probe: ProbeFacts;
  readonly features: KernelFeatures;
}

/** What of a file is recorded. Environments and memory maps are nobody's business. */
function sift(path: string, text: string): string {
  if (path.includes('config')) return matching(text, /^CONFIG_\w*(TLS|INET_TCP_DIAG)\w*=/);
  if (path.endsWith('/maps')) return matching(text, /lib(xlio|vma|onload)\.so/);
  if (path.endsWith('/environ')) return /(?:^|\0)(container=[^\0]*)/.exec(text)?.[1] ?? '';
  if (path === '/proc/self/status') return matching(text, /^(CapEff|Seccomp|Cpus_allowed_list):/);
  return text;
}

const matching = (text: string, pattern: RegExp): string =>
  text
    .split('\n')
    .filter((line) => pattern.test(line))
    .join('\n');

/** `system`, and a function that returns what has been read through it. */
export function recorded(system: System): { system: System; recording: () => Recording } {
  const files: Record<string, string> = {};
  const directories: Record<string, readonly string[]> = {};
  const links: Record<string, string> = {};
  const drivers: Record<string, InterfaceFacts> = {};
  const keep = <T>(record: Record<string, T>, key: string, value: T | null): T | null => {
    if (value !== null) record[key] = value;
    return value;
  };
  return {
    system: {
      get process() {
        return system.process;
      },
      read(path) {
        const text = system.read(path);
        if (text !== null) files[path] = sift(path, text);
        return text;
      },
      list(path) {
        const names = system.list(path);
        // Processes come and go; the few that are looked into are among the files.
        if (names.length > 0) directories[path] = path === '/proc' ? [] : names;
        return names;
      },
      link: (path) => keep(links, path, system.link(path)),
      driver: (name) => keep(drivers, name, system.driver(name)),
      probe: () => system.probe(),
      features: () => system.features(),
    },
    recording: () => ({
      process: system.process,
      files: Object.fromEntries(
        Object.entries(files).filter(([path]) => !/^\/proc\/\d+\/comm$/.test(path)),
      ),
      directories,
      links,
      drivers,
      probe: system.probe(),
      features: system.features(),
    }),
  };
}

/** The machine that a recording was made of. */
export function replayed(recording: Recording): System {
  return {
    process: recording.process,
    read: (path) => recording.files[path] ?? null,
    list: (path) => recording.directories[path] ?? [],
    link: (path) => recording.links[path] ?? null,
    driver: (name) => recording.drivers[name] ?? null,
    probe: () => recording.probe,
    features: () => recording.features,
  };
}

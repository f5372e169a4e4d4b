/** Machines that `ktls doctor --record` was run on, and changes to them. */
import { readFileSync } from 'node:fs';
import { examine } from '../../lib/doctor/examine.js';
import type { Finding } from '../../lib/doctor/finding.js';
import { type Recording, replayed } from '../../lib/doctor/recording.js';
import type { InterfaceFacts } from '../../lib/kernel/ethtool.js';

/**
 * `no-tls`: Linux 6.18 without CONFIG_TLS. `debian-6.1`, `debian-6.12`, `debian-7.3`: Debian's cloud
 * kernels, with an interface dummy0. `debian-6.12-no-module`: an ordinary user, tls.ko not loaded.
 */
export type MachineName =
  'no-tls' | 'debian-6.1' | 'debian-6.12' | 'debian-7.3' | 'debian-6.12-no-module';

export function machine(name: MachineName): Recording {
  const url = new URL(`../fixtures/machines/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as Recording;
}

/** A recording with other files, directories, links or drivers in it. `null` takes a file away. */
export function changed(
  recording: Recording,
  change: {
    files?: Record<string, string | null>;
    directories?: Record<string, string[]>;
    links?: Record<string, string>;
    drivers?: Record<string, InterfaceFacts>;
    process?: Partial<Recording['process']>;
    probe?: Partial<Recording['probe']>;
  },
): Recording {
  const files = Object.entries({ ...recording.files, ...change.files });
  return {
    ...recording,
    process: { ...recording.process, ...change.process },
    probe: { ...recording.probe, ...change.probe },
    files: Object.fromEntries(
      files.filter((entry): entry is [string, string] => entry[1] !== null),
    ),
    directories: { ...recording.directories, ...change.directories },
    links: { ...recording.links, ...change.links },
    drivers: { ...recording.drivers, ...change.drivers },
  };
}

/** Everything the doctor finds on it, by the check's name. */
export function findings(recording: Recording, ...interfaces: string[]): Map<string, Finding> {
  const all = examine(replayed(recording), interfaces).flatMap((section) => section.findings);
  return new Map(all.map((finding) => [finding.check, finding]));
}

interface CardOptions {
  tx?: 'on' | 'off' | 'fixed';
  rx?: 'on' | 'off' | 'fixed';
  checksums?: boolean;
  /** Further ones, or others than the above make. */
  features?: InterfaceFacts['features'];
  statistics?: Record<string, number>;
  channels?: InterfaceFacts['channels'];
}

/** What a driver answers that knows TLS. */
export function cardFacts(options: CardOptions = {}): InterfaceFacts {
  const { tx = 'on', rx = 'on', checksums = true, statistics = {}, channels = null } = options;
  const { features = {} } = options;
  const flag = (state: 'on' | 'off' | 'fixed') => ({
    active: state === 'on',
    changeable: state !== 'fixed',
  });
  return {
    driver: 'mlx5_core',
    firmware: '22.40.1000',
    bus: '0000:03:00.0',
    features: {
      'tls-hw-tx-offload': flag(tx),
      'tls-hw-rx-offload': flag(rx),
      'tx-checksum-ip-generic': flag(checksums ? 'on' : 'off'),
      'rx-checksum': flag(checksums ? 'on' : 'off'),
      ...features,
    },
    statistics,
    channels,
  };
}

/** What a card must do before it may do TLS: `netdev_fix_features` in the kernel's net/core/dev.c. */
import type { Feature } from '../kernel/ethtool.js';

type Features = Readonly<Record<string, Feature>>;

export const tlsFeatures = ['tls-hw-tx-offload', 'tls-hw-rx-offload'] as const;
export type TlsFeature = (typeof tlsFeatures)[number];

/** Each list by itself is enough. */
const enough: Readonly<Record<TlsFeature, readonly (readonly string[])[]>> = {
  'tls-hw-tx-offload': [['tx-checksum-ipv4', 'tx-checksum-ipv6'], ['tx-checksum-ip-generic']],
  'tls-hw-rx-offload': [['rx-checksum']],
};

/** The fewest features to be switched on first; `null` if the card lacks what it takes. */
export function missingChecksums(features: Features, feature: TlsFeature): string[] | null {
  const ways = enough[feature]
    .map((names) => names.filter((name) => !features[name]?.active))
    .filter((missing) => missing.every((name) => features[name]?.changeable))
    .sort((one, other) => one.length - other.length);
  return ways[0] ?? null;
}

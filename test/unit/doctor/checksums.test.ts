/** Which checksum offload must be switched on before TLS: the doctor and `tune` say the same of it. */
import { describe, expect, it } from 'vitest';
import { missingChecksums } from '../../../lib/doctor/checksums.js';
import { replayed } from '../../../lib/doctor/recording.js';
import { planTuning, toShell } from '../../../lib/tuning/plan.js';
import { cardFacts, changed, findings, machine } from '../../support/machines.js';

type State = 'on' | 'off' | 'fixed';
const flag = (state: State) => ({ active: state === 'on', changeable: state !== 'fixed' });

const sets: [generic: State, v4: State, v6: State, missing: string[] | null][] = [
  ['on', 'fixed', 'fixed', []],
  ['fixed', 'on', 'on', []],
  ['off', 'on', 'on', []],
  ['off', 'fixed', 'fixed', ['tx-checksum-ip-generic']],
  ['off', 'on', 'fixed', ['tx-checksum-ip-generic']],
  ['fixed', 'on', 'off', ['tx-checksum-ipv6']],
  ['fixed', 'off', 'on', ['tx-checksum-ipv4']],
  ['fixed', 'off', 'off', ['tx-checksum-ipv4', 'tx-checksum-ipv6']],
  ['off', 'on', 'off', ['tx-checksum-ipv6']],
  ['fixed', 'on', 'fixed', null],
  ['fixed', 'fixed', 'off', null],
];

describe.each(sets)('with generic %s, IPv4 %s and IPv6 %s', (generic, v4, v6, missing) => {
  const features = {
    'tx-checksum-ip-generic': flag(generic),
    'tx-checksum-ipv4': flag(v4),
    'tx-checksum-ipv6': flag(v6),
  };
  const recording = changed(machine('debian-7.3'), {
    files: { '/sys/class/net/eth7/ifindex': '7\n' },
    drivers: { eth7: cardFacts({ tx: 'off', features }) },
  });
  const command =
    missing &&
    ['ethtool -K eth7', ...[...missing, 'tls-hw-tx-offload'].map((each) => `${each} on`)].join(' ');

  it(`is missing ${missing?.join(' and ') ?? 'what the card has not'}`, () => {
    expect(missingChecksums(features, 'tls-hw-tx-offload')).toEqual(missing);
  });

  it('is so for the doctor and for tune', () => {
    const { fix } = findings(recording, 'eth7').get('interface.tls-hw-tx-offload')!;
    expect(fix?.replace(/ #.*/, '') ?? null).toBe(command);
    const plan = planTuning(replayed(recording), 'eth7').map(toShell);
    expect(plan).toEqual(command === null ? [] : [command]);
  });
});

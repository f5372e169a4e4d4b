import { describe, expect, it } from 'vitest';
import { replayed } from '../../../lib/doctor/recording.js';
import type { System } from '../../../lib/doctor/system.js';
import { launchCommand, planTuning, toShell } from '../../../lib/tuning/plan.js';
import { cardFacts, changed, machine } from '../../support/machines.js';

const channels = { maxCombined: 8, combined: 2, maxRx: 0, maxTx: 0, rx: 0, tx: 0 };

const system = (allowed: string, irq: [string, string]) =>
  replayed(
    changed(machine('debian-7.3'), {
      files: {
        '/sys/class/net/eth7/device/numa_node': '1\n',
        '/sys/devices/system/cpu/online': '0-7\n',
        '/sys/devices/system/cpu/isolated': '7\n',
        '/sys/devices/system/node/node1/cpulist': '4-7\n',
        '/proc/self/status': `CapEff:\t0\nCpus_allowed_list:\t${allowed}\n`,
        '/proc/interrupts': [
          ' 41:  1  0   PCI-MSIX-0000:03:00.0   1-edge      mlx5_comp0',
          ' 42:  1  0   PCI-MSIX-0000:03:00.0   2-edge      mlx5_comp1',
        ].join('\n'),
        '/proc/irq/41/smp_affinity_list': `${irq[0]}\n`,
        '/proc/irq/42/smp_affinity_list': `${irq[1]}\n`,
      },
      directories: { '/sys/class/net/eth7/device/msi_irqs': ['41', '42'] },
      links: { '/sys/class/net/eth7/device': '../../../0000:03:00.0' },
      drivers: { eth7: cardFacts({ tx: 'off', rx: 'on', checksums: false, channels }) },
    }),
  );

describe('tuning', () => {
  it('switches on what TLS needs first, and uses near CPUs that the scheduler uses', () => {
    expect(planTuning(system('0-3', ['0', '5']), 'eth7').map(toShell)).toEqual([
      'ethtool -K eth7 tx-checksum-ip-generic on tls-hw-tx-offload on',
      'ethtool -L eth7 combined 4',
      'ethtool -X eth7 equal 4',
      'echo 4 > /proc/irq/41/smp_affinity_list',
    ]);
  });

  /** A card with one vector for its own affairs and two for each queue, on such CPUs. */
  const paired = (...cpus: number[]): System => {
    const names = ['config', 'input.0', 'output.0', 'input.1', 'output.1', 'input.2', 'output.2'];
    const vectors = names.map((name, index) => ({ number: 50 + index, name: `virtio0-${name}` }));
    return replayed(
      changed(machine('debian-7.3'), {
        files: {
          '/sys/devices/system/cpu/online': '0-3\n',
          '/proc/interrupts': vectors
            .map(
              ({ number, name }) =>
                ` ${number}:  1  0   PCI-MSIX-0000:00:03.0   0-edge      ${name}`,
            )
            .join('\n'),
          ...Object.fromEntries(
            vectors.map(({ number }, index) => [
              `/proc/irq/${number}/smp_affinity_list`,
              `${cpus[index]}\n`,
            ]),
          ),
        },
        directories: {
          '/sys/class/net/eth7/device/msi_irqs': vectors.map(({ number }) => String(number)),
        },
      }),
    );
  };

  it('places both interrupts of a queue together, and leaves alone those of none', () => {
    expect(planTuning(paired(3, 0, 0, 0, 0, 0, 0), 'eth7').map(toShell)).toEqual([
      ...['53', '54'].map((irq) => `echo 1 > /proc/irq/${irq}/smp_affinity_list`),
      ...['55', '56'].map((irq) => `echo 2 > /proc/irq/${irq}/smp_affinity_list`),
    ]);
  });

  it('changes nothing where each queue has a CPU of its own, whichever', () => {
    expect(planTuning(paired(0, 0, 0, 1, 1, 2, 2), 'eth7')).toEqual([]);
    expect(planTuning(paired(0, 3, 3, 1, 1, 0, 0), 'eth7')).toEqual([]);
    expect(planTuning(paired(0, 0, 1, 1, 1, 2, 2), 'eth7').map(toShell)).toEqual([
      'echo 0 > /proc/irq/52/smp_affinity_list',
    ]);
  });

  it('starts Node near the card where it would not be', () => {
    expect(launchCommand(system('0-3', ['4', '5']), 'eth7')).toBe('taskset -c 4-7 node app.js');
    expect(launchCommand(system('4-5', ['4', '5']), 'eth7')).toBeNull();
  });

  it('lets a connection fill a fast link', () => {
    const at = (speed: string, most: number) =>
      replayed(
        changed(machine('debian-7.3'), {
          files: {
            '/sys/class/net/eth7/speed': `${speed}\n`,
            '/proc/sys/net/ipv4/tcp_wmem': `4096\t16384\t${most}\n`,
            '/proc/sys/net/ipv4/tcp_rmem': '4096\t131072\t33554432\n',
          },
        }),
      );
    const plan = (speed: string, most: number): string[] =>
      planTuning(at(speed, most), 'eth7').map(toShell);
    expect(plan('25000', 4_194_304)).toEqual([
      'echo 4096 16384 16777216 > /proc/sys/net/ipv4/tcp_wmem',
    ]);
    expect(plan('25000', 16_777_216)).toEqual([]);
    expect(plan('1000', 4_194_304)).toEqual([]);
    expect(plan('-1', 4_194_304)).toEqual([]);
  });

  it('tunes the cards that a VLAN on a bond stands on', () => {
    const bonded = replayed(
      changed(machine('debian-7.3'), {
        directories: {
          '/sys/class/net/vlan5/.': ['ifindex', 'lower_bond0'],
          '/sys/class/net/bond0/.': ['ifindex', 'lower_eth7', 'lower_eth8', 'upper_vlan5'],
          '/sys/class/net/eth7/.': ['ifindex', 'upper_bond0'],
        },
        drivers: {
          eth7: cardFacts({ tx: 'off' }),
          eth8: cardFacts({ tx: 'off', rx: 'off' }),
          bond0: cardFacts({ tx: 'fixed', rx: 'fixed' }),
        },
      }),
    );
    const steps = [
      'ethtool -K eth7 tls-hw-tx-offload on',
      'ethtool -K eth8 tls-hw-tx-offload on',
      'ethtool -K eth8 tls-hw-rx-offload on',
    ];
    expect(planTuning(bonded, 'vlan5').map(toShell)).toEqual(steps);
    expect(planTuning(bonded, 'bond0').map(toShell)).toEqual(steps);
  });

  it('has nothing to say of an interface without a card', () => {
    expect(planTuning(replayed(machine('debian-7.3')), 'dummy0')).toEqual([]);
  });
});

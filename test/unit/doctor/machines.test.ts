/** The doctor's verdicts on machines that were recorded. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import Ajv from 'ajv';
import { describe, expect, it } from 'vitest';
import { examine } from '../../../lib/doctor/examine.js';
import { replayed } from '../../../lib/doctor/recording.js';
import { makeReport, toText } from '../../../lib/doctor/report.js';
import { cardFacts, changed, findings, machine, type MachineName } from '../../support/machines.js';

const verdicts = (found: ReturnType<typeof findings>): Record<string, string> =>
  Object.fromEntries([...found].map(([check, { verdict }]) => [check, verdict]));

const debian: MachineName[] = ['debian-6.1', 'debian-6.12', 'debian-7.3'];

describe('a kernel without TLS', () => {
  const found = findings(machine('no-tls'));

  it('fails, and says that only another kernel helps', () => {
    expect(found.get('kernel.tls')).toMatchObject({ verdict: 'fail' });
    expect(found.get('kernel.tls')!.why).toContain('ERR_KTLS_KERNEL');
    expect(found.get('config.tls')).toMatchObject({ verdict: 'fail' });
    expect(found.get('config.tls')!.fix).toContain('linux-image-amd64');
  });

  it('is not asked for modules, ciphers or holes that it cannot have', () => {
    for (const check of ['module.loaded', 'ciphers.tls13', 'bugs.cve']) {
      expect(found.has(check), check).toBe(false);
    }
  });
});

describe.each(debian)('%s with the module', (name) => {
  const found = findings(machine(name), 'dummy0');

  it('passes where it counts', () => {
    expect(verdicts(found)).toMatchObject({
      'kernel.tls': 'pass',
      'kernel.tls12': 'pass',
      'kernel.tls13': 'pass',
      'kernel.chacha20': 'pass',
      'kernel.zero-copy': 'pass',
      'kernel.no-pad': 'pass',
      'module.loaded': 'pass',
      'module.boot': 'info',
      'module.tcp-diag': 'pass',
      'ciphers.tls13': 'pass',
      'bugs.cve': name === 'debian-6.1' ? 'info' : 'pass',
    });
    expect([...found.values()].filter(({ verdict }) => verdict === 'fail')).toEqual([]);
  });

  it('warns of the next boot, but in a container of the host that decides it', () => {
    expect(found.get('module.boot')!.fix).toMatch(/ # on the host$/);
    const host = findings(changed(machine(name), { files: { '/.dockerenv': null } }));
    expect(host.get('module.boot')!.verdict).toBe('warn');
  });

  it('has the features of its version, by trying', () => {
    const modern = name === 'debian-7.3';
    expect(found.get('kernel.rekey')!.verdict).toBe(modern ? 'pass' : 'info');
    expect(found.get('kernel.max-payload')!.verdict).toBe(modern ? 'pass' : 'info');
  });

  it('warns of an interface that was asked for and offers no TLS', () => {
    expect(found.get('interface.tls-hw-tx-offload')).toMatchObject({
      verdict: 'warn',
      title: 'dummy0: tls-hw-tx-offload',
    });
    expect(found.get('interface.tls-hw-tx-offload')!.why).toContain('[fixed]');
    expect(found.get('interface.driver')!.why).toBe('dummy.');
  });
});

describe('the configuration of a kernel', () => {
  const configured = (text: string, path = '/proc/config.gz') =>
    findings(changed(machine('debian-6.12'), { files: { [path]: text } }));

  it.each([
    '/proc/config.gz',
    '/boot/config-6.12.117+deb13-cloud-amd64',
    '/lib/modules/6.12.117+deb13-cloud-amd64/config',
  ])('is read from %s', (path) => {
    const found = configured('CONFIG_TLS=m\nCONFIG_TLS_DEVICE=y\nCONFIG_MLX5_EN_TLS=y\n', path);
    expect(verdicts(found)).toMatchObject({ 'config.tls': 'pass', 'config.tls-device': 'pass' });
    expect(found.get('config.drivers')!.why).toBe('Set: CONFIG_MLX5_EN_TLS.');
  });

  it('without TLS_DEVICE means software, whatever the card', () => {
    expect(configured('CONFIG_TLS=y\n').get('config.tls-device')!.verdict).toBe('info');
  });
});

describe('a module that is not loaded', () => {
  const recording = machine('debian-6.12-no-module');

  it('fails with the command to load it, and says that this user cannot make the kernel do it', () => {
    const found = findings(recording);
    expect(found.get('kernel.tls')!.why).toContain('ERR_KTLS_MODULE');
    expect(found.get('module.loaded')).toMatchObject({ verdict: 'fail', fix: 'modprobe tls' });
    expect(found.get('module.autoload')!.why).toContain('CAP_NET_ADMIN, which this one lacks');
  });

  it.each([
    ['install tls /bin/false', 'fail'],
    ['install tls /usr/bin/true # not wanted', 'fail'],
    ['blacklist tls', 'fail'],
    ['  install\ttls\t/bin/false', 'fail'],
    ['# blacklist tls', 'warn'],
    ['blacklist tls_other', 'warn'],
  ])('knows what "%s" in modprobe.d does', (line, verdict) => {
    const found = findings(
      changed(recording, {
        directories: { '/etc/modprobe.d': ['a.conf'] },
        files: { '/etc/modprobe.d/a.conf': `options x y=1\n${line}\n` },
      }),
    );
    expect(found.get('module.autoload')!.verdict).toBe(verdict);
    if (verdict === 'fail') {
      expect(found.get('module.autoload')!.why).toContain('/etc/modprobe.d/a.conf');
      const fix = found.get('module.autoload')!.fix!;
      const [, expression] = /^sed -i '(.*)' \/etc\/modprobe\.d\/a\.conf && modprobe tls$/.exec(
        fix,
      )!;
      const others = 'blacklist tls_other\noptions tls x=1\n';
      const input = `${line}\n${others}`;
      expect(execFileSync('sed', [expression!], { input, encoding: 'latin1' })).toBe(others);
    }
  });

  it('knows that a locked kernel loads nothing before the next boot', () => {
    const found = findings(
      changed(recording, { files: { '/proc/sys/kernel/modules_disabled': '1\n' } }),
    );
    expect(found.get('module.autoload')!.why).toContain('until the next boot');
  });

  it('says in a user namespace that its capabilities do not count', () => {
    const found = findings(
      changed(recording, {
        files: {
          '/proc/self/uid_map': '0 1000 1\n',
          '/proc/self/status': 'CapEff:\t000001ffffffffff\n',
        },
      }),
    );
    expect(found.get('module.autoload')!.why).toContain('user namespace');
  });
});

describe('a container with a network namespace of its own', () => {
  const layers = '/proc/sys/net/ipv4/tcp_available_ulp';
  const contained = (name: MachineName, change: Parameters<typeof changed>[1] = {}) =>
    findings(changed(changed(machine(name), { files: { [layers]: null } }), change));

  it('has the module that the host has loaded', () => {
    const found = contained('debian-6.12');
    expect([...found.values()].filter(({ verdict }) => verdict === 'fail')).toEqual([]);
    expect(found.get('module.loaded')).toMatchObject({ verdict: 'pass', why: 'It is loaded.' });
    expect(found.get('module.boot')!.verdict).toBe('info');
  });

  it.each<[string, Record<string, string>, string[], string]>([
    ['its configuration', { '/proc/config.gz': 'CONFIG_TLS=y\n' }, [], 'pass'],
    ['its absence among the modules', {}, ['lo'], 'pass'],
    ['nothing, without /sys', {}, [], 'info'],
  ])('knows that it is built in by %s', (_, files, interfaces, verdict) => {
    const directories = { '/sys/module/tls': [], '/sys/class/net': interfaces };
    const found = contained('debian-6.12', { files, directories });
    expect(found.get('module.loaded')!.verdict).toBe('pass');
    expect(found.get('module.boot')!.verdict).toBe(verdict);
  });

  it('lacks the module that the probe did not find', () => {
    const loaded = contained('debian-6.12-no-module').get('module.loaded')!;
    expect(loaded).toMatchObject({ verdict: 'fail', fix: 'modprobe tls' });
    expect(loaded.why).toContain('ERR_KTLS_MODULE');
  });

  it('does not take what kept the probe from asking for the want of a module', () => {
    const reason = { code: 'ERR_KTLS_SANDBOX', message: 'no loopback connection' };
    const found = contained('debian-6.12-no-module', { probe: { reason } });
    expect(found.get('module.loaded')).toMatchObject({ verdict: 'info', fix: null });
    expect(found.get('module.loaded')!.why).toContain('no loopback connection');
    expect(found.has('module.autoload')).toBe(false);
  });
});

describe('sandboxes', () => {
  const sandboxed = (change: Parameters<typeof changed>[1]) =>
    findings(changed(changed(machine('debian-6.12'), { files: { '/.dockerenv': null } }), change));

  it('recognises gVisor, which has no kernel TLS', () => {
    const version = 'Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n';
    expect(
      sandboxed({ files: { '/proc/version': version } }).get('sandbox.container'),
    ).toMatchObject({ verdict: 'fail', title: 'gVisor' });
  });

  it.each([
    ['/run/.containerenv', '', 'Podman'],
    ['/proc/self/cgroup', '0::/kubepods/burstable/pod1\n', 'Kubernetes'],
    ['/proc/1/environ', 'container=systemd-nspawn', 'systemd-nspawn'],
  ])('recognises a container by %s', (path, text, kind) => {
    expect(sandboxed({ files: { [path]: text } }).get('sandbox.container')!.why).toContain(kind);
  });

  it('warns of a preloaded user-space stack', () => {
    const found = sandboxed({ process: { ldPreload: '/usr/lib/libxlio.so' } });
    expect(found.get('sandbox.preload')).toMatchObject({ verdict: 'warn' });
  });
});

describe('a network card', () => {
  const withCard = (facts: ReturnType<typeof cardFacts>, files: Record<string, string> = {}) =>
    findings(
      changed(machine('debian-7.3'), {
        files: {
          '/sys/class/net/eth7/ifindex': '7\n',
          '/sys/class/net/eth7/operstate': 'up\n',
          '/sys/class/net/eth7/speed': '100000\n',
          ...files,
        },
        links: { '/sys/class/net/eth7/device': '../../../0000:03:00.0' },
        drivers: { eth7: facts },
      }),
      'eth7',
    );

  it('passes with its flags on, and shows its counters', () => {
    const found = withCard(
      cardFacts({ statistics: { tx_tls_ctx: 3, rx_tls_ctx: 2, tx_packets: 9 } }),
    );
    expect(verdicts(found)).toMatchObject({
      'interface.link': 'pass',
      'interface.tls-hw-tx-offload': 'pass',
      'interface.tls-hw-rx-offload': 'pass',
    });
    expect(found.get('interface.counters')!.why).toBe('tx_tls_ctx 3, rx_tls_ctx 2.');
    expect(found.get('interface.link')!.why).toContain('100000 Mbit/s');
  });

  it('says how to switch a flag on', () => {
    const found = withCard(cardFacts({ tx: 'off' }));
    expect(found.get('interface.tls-hw-tx-offload')!.fix).toMatch(
      /^ethtool -K eth7 tls-hw-tx-offload on/,
    );
  });

  it('says that the flag needs checksum offload first', () => {
    const found = withCard(cardFacts({ tx: 'off', rx: 'off', checksums: false }));
    expect(found.get('interface.tls-hw-tx-offload')!.fix).toBe(
      'ethtool -K eth7 tx-checksum-ip-generic on tls-hw-tx-offload on',
    );
    expect(found.get('interface.tls-hw-rx-offload')!.fix).toBe(
      'ethtool -K eth7 rx-checksum on tls-hw-rx-offload on',
    );
  });

  it("warns that Debian's driver was built without TLS", () => {
    const found = withCard(cardFacts({ tx: 'fixed', rx: 'fixed' }), {
      '/boot/config-7.3.4+deb13-cloud-amd64': 'CONFIG_TLS=m\nCONFIG_TLS_DEVICE=y\n',
    });
    expect(found.get('interface.driver')!.why).toContain('CONFIG_MLX5_EN_TLS');
  });

  it('knows a representor on a DPU', () => {
    const found = withCard(cardFacts(), {
      '/sys/class/net/eth7/phys_port_name': 'pf0hpf\n',
      '/sys/class/net/eth7/phys_switch_id': 'ab12\n',
    });
    expect(found.get('interface.representor')).toMatchObject({ verdict: 'warn' });
  });

  it('warns of a link that is down', () => {
    const found = withCard(cardFacts(), {
      '/sys/class/net/eth7/operstate': 'down\n',
      '/sys/class/net/eth7/flags': '0x1002\n',
    });
    expect(found.get('interface.link')).toMatchObject({
      verdict: 'warn',
      fix: 'ip link set eth7 up',
    });
  });

  it.each(['down', 'lowerlayerdown'])(
    'does not take the want of a carrier (%s) for a link that is switched off',
    (state) => {
      const { verdict, why, fix } = withCard(cardFacts(), {
        '/sys/class/net/eth7/operstate': `${state}\n`,
        '/sys/class/net/eth7/flags': '0x1003\n',
      }).get('interface.link')!;
      expect({ verdict, fix }).toEqual({ verdict: 'warn', fix: null });
      expect(why).toContain('no carrier');
      expect(why).not.toContain('in name only');
    },
  );

  it('does not call up what its driver does not call up', () => {
    const found = withCard(cardFacts(), { '/sys/class/net/eth7/operstate': 'unknown\n' });
    expect(found.get('interface.link')).toMatchObject({ verdict: 'info', fix: null });
  });

  it.each([
    ['is not there', ['eth0', 'lo'], 'There is no interface nope0; there are eth0, lo.'],
    ['nobody can see without /sys', [], 'Nothing is known of nope0: /sys is not mounted'],
  ])('fails for an interface that %s', (_, interfaces, why) => {
    const directories = { '/sys/class/net': interfaces };
    const found = findings(changed(machine('debian-7.3'), { directories }), 'nope0');
    expect(found.get('interface.exists')!.verdict).toBe('fail');
    expect(found.get('interface.exists')!.why).toContain(why);
  });
});

describe('CPUs, interrupts and NUMA', () => {
  const interrupt = (number: number, cpus: string): Record<string, string> => ({
    [`/proc/irq/${number}/smp_affinity_list`]: `${cpus}\n`,
  });
  const two = (
    allowed: string,
    irqs: [string, string, string],
    channels: [number, number] = [4, 4],
  ) =>
    findings(
      changed(machine('debian-7.3'), {
        files: {
          '/sys/class/net/eth7/ifindex': '7\n',
          '/sys/class/net/eth7/device/numa_node': '1\n',
          '/sys/devices/system/cpu/online': '0-7\n',
          '/sys/devices/system/cpu/isolated': '6-7\n',
          '/sys/devices/system/node/node1/cpulist': '4-7\n',
          '/proc/self/status': `CapEff:\t0\nCpus_allowed_list:\t${allowed}\n`,
          '/proc/interrupts': [
            '           CPU0       CPU1',
            ' 40:          1          0   PCI-MSIX-0000:03:00.0   0-edge      mlx5_async0',
            ' 41:          1          0   PCI-MSIX-0000:03:00.0   1-edge      mlx5_comp0',
            ' 42:          1          0   PCI-MSIX-0000:03:00.0   2-edge      mlx5_comp1',
          ].join('\n'),
          ...interrupt(40, irqs[0]),
          ...interrupt(41, irqs[1]),
          ...interrupt(42, irqs[2]),
        },
        directories: {
          '/sys/class/net/eth7/queues': ['rx-0', 'rx-1', 'rx-2', 'rx-3', 'tx-0'],
          '/sys/class/net/eth7/device/msi_irqs': ['40', '41', '42'],
        },
        links: { '/sys/class/net/eth7/device': '../../../0000:03:00.0' },
        drivers: {
          eth7: cardFacts({
            channels: {
              maxCombined: channels[1],
              combined: channels[0],
              maxRx: 0,
              maxTx: 0,
              rx: 0,
              tx: 0,
            },
          }),
        },
      }),
      'eth7',
    );

  it('passes where all is near', () => {
    expect(verdicts(two('4-5', ['4', '5', '6']))).toMatchObject({
      'affinity.numa': 'pass',
      'affinity.queues': 'pass',
      'affinity.interrupts': 'pass',
      'affinity.isolated': 'info',
    });
  });

  it('warns of a process that may run far away, and of interrupts that only do', () => {
    const found = two('0-3', ['0', '1', '2']);
    expect(found.get('affinity.numa')!.fix).toContain('taskset -c 4-7 node');
    expect(found.get('affinity.interrupts')!.why).toContain('3 of 3');
  });

  it('warns of interrupts that all go to one CPU', () => {
    expect(two('4-7', ['4', '4', '4']).get('affinity.interrupts')!.why).toBe('All 3 go to CPU 4.');
  });

  it('warns of fewer queues than near CPUs', () => {
    expect(two('4-7', ['4', '5', '6'], [2, 8]).get('affinity.queues')!.fix).toBe(
      'ethtool -L eth7 combined 4',
    );
  });
});

describe('the report', () => {
  const schema = JSON.parse(readFileSync('docs/doctor.schema.json', 'utf8')) as object;
  const validate = new Ajv().compile(schema);

  it.each<MachineName>(['no-tls', ...debian, 'debian-6.12-no-module'])(
    'of %s has the form that its schema promises',
    (name) => {
      const report = makeReport(examine(replayed(machine(name)), []));
      validate(JSON.parse(JSON.stringify(report)));
      expect(validate.errors).toBeNull();
      const { pass, info, warn, fail } = report.counts;
      const all = report.sections.flatMap((section) => section.findings);
      expect(pass + info + warn + fail).toBe(all.length);
    },
  );

  it('is refused by the schema when it is something else', () => {
    expect(validate({ verdict: 'fine', counts: {}, sections: [] })).toBe(false);
  });

  it('as text fits the width, and leaves commands whole', () => {
    const report = makeReport(examine(replayed(machine('debian-6.12')), ['dummy0']));
    for (const line of toText(report, false, 80).split('\n')) {
      if (!line.includes('$ ')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
    expect(toText(report, false)).toContain('        $ echo tls > /etc/modules-load.d/tls.conf');
    expect(toText(report, true)).toContain('\x1b[32mpass\x1b[0m');
  });
});

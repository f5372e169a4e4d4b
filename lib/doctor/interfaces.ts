/** A network interface: whether its driver can do TLS, whether that is on, and what stands on top of it. */
import type { Feature, InterfaceFacts } from '../kernel/ethtool.js';
import { tlsStatistics } from '../kernel/host-stats.js';
import { type TlsFeature, missingChecksums } from './checksums.js';
import { type Finding, fail, info, pass, warn } from './finding.js';
import { driverOptions, kernelConfig } from './kernel-config.js';
import { type System, readLine, sysIsReadable } from './system.js';

const sys = (name: string, path: string): string => `/sys/class/net/${name}/${path}`;

export const interfaceExists = (system: System, name: string): boolean =>
  system.read(sys(name, 'ifindex')) !== null;

/** A sentence. */
export function whyNoInterface(system: System, name: string): string {
  return sysIsReadable(system)
    ? `There is no interface ${name}; there are ${system.list('/sys/class/net').join(', ')}.`
    : `Nothing is known of ${name}: /sys is not mounted here, or may not be read.`;
}

/** The interfaces that are network cards, or stand on one: those that `doctor` looks at unasked. */
export function networkCards(system: System): readonly string[] {
  return system.list('/sys/class/net').filter((name) => system.link(sys(name, 'device')) !== null);
}

/**
 * @param wanted - The user asked for this interface, so that its lacking TLS is worth a warning.
 */
export function checkInterface(system: System, name: string, wanted: boolean): Finding[] {
  if (!interfaceExists(system, name)) {
    return [fail('interface.exists', name, whyNoInterface(system, name))];
  }
  const facts = system.driver(name);
  if (facts === null) {
    return [warn('interface.driver', name, 'The driver cannot be asked without the native addon.')];
  }
  return [
    link(system, name),
    driver(system, name, facts),
    ...offload(name, facts, wanted),
    ...stacking(system, name),
    ...representor(system, name),
    counters(name, facts),
  ];
}

function link(system: System, name: string): Finding {
  const state = readLine(system, sys(name, 'operstate')) ?? 'unknown';
  const speed = Number(readLine(system, sys(name, 'speed')) ?? -1);
  if (name === 'lo') {
    return info('interface.link', name, 'This is the loopback interface: it has no network card.');
  }
  if (state === 'down' || state === 'lowerlayerdown') {
    if (isSwitchedOn(system, name)) {
      return warn(
        'interface.link',
        `${name}: link`,
        'It is switched on and has no carrier: see the cable, its other end and the port of the switch. Connections that are on the card stay there.',
      );
    }
    return warn(
      'interface.link',
      `${name}: link`,
      'It is down; a connection that was on the card stays there in name only.',
      `ip link set ${name} up`,
    );
  }
  if (state === 'unknown') {
    return info('interface.link', `${name}: link`, 'Its driver does not tell whether it is up.');
  }
  return pass(
    'interface.link',
    `${name}: link`,
    speed > 0 ? `It is ${state}, at ${speed} Mbit/s.` : `It is ${state}.`,
  );
}

/** `IFF_UP`: what `ip link set up` sets, whether there is a carrier or not. */
const isSwitchedOn = (system: System, name: string): boolean =>
  (Number(readLine(system, sys(name, 'flags')) ?? 0) & 0x1) !== 0;

function driver(system: System, name: string, facts: InterfaceFacts): Finding {
  const title = `${name}: driver`;
  if (facts.driver === null) {
    return info('interface.driver', title, 'No driver answers: it is a software interface.');
  }
  const firmware = facts.firmware === null ? '' : `, firmware ${facts.firmware}`;
  const options = driverOptions[facts.driver];
  const config = kernelConfig(system);
  if (options !== undefined && config !== null && options.every((each) => config(each) === 'n')) {
    return warn(
      'interface.driver',
      title,
      `${facts.driver}${firmware}. This kernel's driver was built without TLS: ${options.join(' or ')} is not set.`,
      "install the vendor's driver, or a kernel that has the option",
    );
  }
  return info('interface.driver', title, `${facts.driver}${firmware}.`);
}

function offload(name: string, { features }: InterfaceFacts, wanted: boolean): Finding[] {
  return [
    flag(name, features, 'tls-hw-tx-offload', 'sending', wanted),
    flag(name, features, 'tls-hw-rx-offload', 'receiving', wanted),
    ...(features['tls-hw-record']?.active
      ? [
          warn(
            'interface.tls-hw-record',
            `${name}: tls-hw-record`,
            'The card does the whole of TLS (TOE), which takes the connection away from the kernel; Linux 7.2 has dropped it.',
            `ethtool -K ${name} tls-hw-record off`,
          ),
        ]
      : []),
  ];
}

function flag(
  name: string,
  features: Readonly<Record<string, Feature>>,
  feature: TlsFeature,
  direction: string,
  wanted: boolean,
): Finding {
  const check = `interface.${feature}`;
  const title = `${name}: ${feature}`;
  const state = features[feature];
  if (state?.active) {
    return pass(check, title, `On: the card takes over ${direction} where it can.`);
  }
  if (!state?.changeable) {
    const why = `Off [fixed]: this driver does not offer it; the kernel's software does the work.`;
    return wanted && name !== 'lo' ? warn(check, title, why) : info(check, title, why);
  }
  const missing = missingChecksums(features, feature);
  if (missing === null) {
    const why =
      'Off: the card has it, and not the checksum offload without which the kernel does not allow it.';
    return warn(check, title, why);
  }
  if (missing.length > 0) {
    const first = missing.map((each) => `${each} on`).join(' ');
    return warn(
      check,
      title,
      `Off: the card has it, and the kernel allows it only with checksum offload, which is off too.`,
      `ethtool -K ${name} ${first} ${feature} on`,
    );
  }
  return warn(
    check,
    title,
    `Off: the card has it.`,
    `ethtool -K ${name} ${feature} on # connections made before stay as they are`,
  );
}

/** Those that a bond, a VLAN or a bridge stands on. */
export const interfacesBelow = (system: System, name: string): readonly string[] =>
  system.list(sys(name, '.')).flatMap((each) => /^lower_(.+)$/.exec(each)?.[1] ?? []);

function stacking(system: System, name: string): Finding[] {
  const check = 'interface.stacking';
  const lower = interfacesBelow(system, name);
  const master = system.link(sys(name, 'master'))?.split('/').at(-1);
  const findings: Finding[] = [];
  if (lower.length > 0) {
    const without = lower.filter(
      (each) => !system.driver(each)?.features['tls-hw-tx-offload']?.active,
    );
    const kind = system.list(`/sys/class/net/${name}/bonding`).length > 0 ? 'bond' : 'interface';
    findings.push(
      without.length === 0
        ? pass(check, `${name}: stacking`, `Every one of ${lower.join(', ')} below it has TLS on.`)
        : info(
            check,
            `${name}: stacking`,
            `This ${kind} stands on ${lower.join(', ')}; without tls-hw-tx-offload: ${without.join(', ')}. A bond offers TLS only if all its cards do; bonds with another transmit policy than one that keeps a connection on one card cannot.`,
          ),
    );
  }
  if (master !== undefined) {
    findings.push(
      info(
        check,
        `${name}: stacking`,
        `It belongs to ${master}: what decides is the interface that has the address, so look at that one too.`,
      ),
    );
  }
  return findings;
}

/** A port of a switch within the card (a SmartNIC or DPU) has the name of the function it stands for. */
function representor(system: System, name: string): Finding[] {
  const port = readLine(system, sys(name, 'phys_port_name'));
  const id = readLine(system, sys(name, 'phys_switch_id'));
  if (!port || !id || !/pf\d+/.test(port)) return [];
  return [
    warn(
      'interface.representor',
      `${name}: representor`,
      `It is the representor of ${port} on a switch within the card: TLS offload happens on the function it stands for, not here. On a DPU that function needs the switch (Open vSwitch) to forward in hardware.`,
      'ovs-vsctl set Open_vSwitch . other_config:hw-offload=true # on the DPU, then restart Open vSwitch',
    ),
  ];
}

function counters(name: string, { statistics }: InterfaceFacts): Finding {
  const values = Object.entries(tlsStatistics(statistics));
  return info(
    'interface.counters',
    `${name}: TLS counters`,
    values.length === 0
      ? "The driver has none, so that only the kernel's own counters tell."
      : `${values.map(([counter, value]) => `${counter} ${value}`).join(', ')}.`,
  );
}

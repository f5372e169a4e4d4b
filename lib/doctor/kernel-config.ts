/** How the kernel was built, and whether its modules are there and may be loaded. */
import { type Finding, fail, info, pass, warn } from './finding.js';
import { containerKind } from './sandbox.js';
import { type System, inUserNamespace, isNetworkAdmin, readLine, sysIsReadable } from './system.js';

type Setting = 'y' | 'm' | 'n';

/** The drivers' options for TLS in hardware, by the driver that they belong to. */
export const driverOptions: Readonly<Record<string, readonly string[]>> = {
  mlx5_core: ['CONFIG_MLX5_EN_TLS', 'CONFIG_MLX5_TLS'],
  cxgb4: ['CONFIG_CHELSIO_TLS_DEVICE'],
};

/** The kernel's configuration, wherever this distribution keeps it; `null` where it does not. */
export function kernelConfig(system: System): ((option: string) => Setting) | null {
  const { release } = system.process;
  const text = [
    `/boot/config-${release}`,
    '/proc/config.gz',
    `/lib/modules/${release}/config`,
    `/usr/lib/modules/${release}/config`,
    `/lib/modules/${release}/build/.config`,
  ]
    .map((path) => system.read(path))
    .find((found) => found !== null);
  if (text == null) return null;
  return (option) => {
    const setting = new RegExp(`^${option}=([ym])$`, 'm').exec(text)?.[1];
    return setting === 'y' || setting === 'm' ? setting : 'n';
  };
}

/** What can be put on top of TCP; `null` but in the initial network namespace, which alone has the file. */
const layers = (system: System): readonly string[] | null =>
  readLine(system, '/proc/sys/net/ipv4/tcp_available_ulp')?.split(/\s+/) ?? null;

/** Whether the kernel has its TLS at hand: loaded or built in. */
function tlsIsLoaded(system: System): boolean {
  return (
    system.probe().available ||
    system.list('/sys/module/tls').length > 0 ||
    (layers(system)?.includes('tls') ?? false)
  );
}

/** That `/sys/module` does not list it says nothing where there is no `/sys`. */
function tlsIsBuiltIn(system: System): boolean {
  if (kernelConfig(system)?.('CONFIG_TLS') === 'y') return true;
  return (
    tlsIsLoaded(system) && sysIsReadable(system) && system.list('/sys/module/tls').length === 0
  );
}

export function checkKernelConfig(system: System): Finding[] {
  const config = kernelConfig(system);
  if (config === null) {
    return [
      info(
        'config.tls',
        'Kernel configuration',
        'Neither /boot/config, /proc/config.gz nor the modules directory tells how this kernel was built; the probe above is what counts.',
      ),
    ];
  }
  const findings: Finding[] = [];
  if (config('CONFIG_TLS') === 'n') {
    return [
      fail(
        'config.tls',
        'CONFIG_TLS',
        'The kernel was built without TLS; only another kernel has it.',
        "boot a distribution's own kernel, on Debian: apt-get install linux-image-amd64",
      ),
    ];
  }
  findings.push(pass('config.tls', 'CONFIG_TLS', `It is set to ${config('CONFIG_TLS')}.`));
  findings.push(
    config('CONFIG_TLS_DEVICE') === 'y'
      ? pass('config.tls-device', 'CONFIG_TLS_DEVICE', 'The kernel can hand TLS to a network card.')
      : info(
          'config.tls-device',
          'CONFIG_TLS_DEVICE',
          'It is not set: this kernel encrypts in software whatever the network card can.',
        ),
  );
  const options = Object.values(driverOptions).flat();
  const set = options.filter((option) => config(option) !== 'n');
  findings.push(
    info(
      'config.drivers',
      'Drivers with TLS',
      set.length > 0
        ? `Set: ${set.join(', ')}.`
        : `None of ${options.join(', ')} is set: those drivers do not offer TLS on this kernel.`,
    ),
  );
  return findings;
}

export function checkModules(system: System): Finding[] {
  if (kernelConfig(system)?.('CONFIG_TLS') === 'n') return [];
  const loaded = tlsIsLoaded(system);
  return [...(loaded ? [whenLoaded(system)] : whenAbsent(system)), atBoot(system), tcpDiag(system)];
}

function whenLoaded(system: System): Finding {
  return pass(
    'module.loaded',
    'The tls module',
    tlsIsBuiltIn(system) ? 'It is part of the kernel.' : 'It is loaded.',
  );
}

function whenAbsent(system: System): Finding[] {
  const { reason } = system.probe();
  const why =
    layers(system) === null && reason !== null
      ? `${reason.message} (${reason.code}).`
      : 'The kernel does not list "tls" in /proc/sys/net/ipv4/tcp_available_ulp.';
  // Where nothing but the probe tells, what kept it from asking says nothing of the module.
  if (layers(system) === null && reason?.code !== 'ERR_KTLS_MODULE') {
    return [info('module.loaded', 'The tls module', `Nothing here tells of it: ${why}`)];
  }
  const block = loadingBlock(system);
  const fix = block?.fix ?? 'modprobe tls';
  const findings = [fail('module.loaded', 'The tls module', why, fix)];
  if (block !== null) {
    findings.push(fail('module.autoload', 'Loading by the kernel itself', block.why, block.fix));
  } else if (!isNetworkAdmin(system)) {
    findings.push(
      warn(
        'module.autoload',
        'Loading by the kernel itself',
        inUserNamespace(system)
          ? 'This process is in a user namespace, and the kernel loads the module only for CAP_NET_ADMIN in the initial one.'
          : 'The kernel loads the module only for a process with CAP_NET_ADMIN, which this one lacks.',
        'modprobe tls # on the host, if this is a container',
      ),
    );
  } else {
    findings.push(
      info(
        'module.autoload',
        'Loading by the kernel itself',
        'This process may have it loaded; that it is not there means that there is no such module in /lib/modules, or that modprobe failed.',
      ),
    );
  }
  return findings;
}

/** A line of modprobe.d(5) by which the module is not loaded. */
const RULE = /^\s*(?:install\s+tls\s+\S*\/(?:false|true)\b|blacklist\s+tls\s*$).*/m;

/** What keeps even root from loading the module. */
function loadingBlock(system: System): { why: string; fix: string } | null {
  if (readLine(system, '/proc/sys/kernel/modules_disabled') === '1') {
    return {
      why: 'kernel.modules_disabled is 1: no module can be loaded until the next boot.',
      fix: 'echo tls > /etc/modules-load.d/tls.conf # and reboot: it must load before the switch',
    };
  }
  for (const directory of [
    '/etc/modprobe.d',
    '/run/modprobe.d',
    '/usr/lib/modprobe.d',
    '/lib/modprobe.d',
  ]) {
    for (const name of system.list(directory).filter((each) => each.endsWith('.conf'))) {
      const path = `${directory}/${name}`;
      const [rule] = RULE.exec(system.read(path) ?? '') ?? [];
      if (rule === undefined) continue;
      return {
        why: `${path} says "${rule.trim()}".`,
        fix: `sed -i '/^\\s*\\(install\\|blacklist\\)\\s\\+tls\\(\\s\\|$\\)/d' ${path} && modprobe tls`,
      };
    }
  }
  return null;
}

function atBoot(system: System): Finding {
  const files = [
    '/etc/modules',
    ...['/etc/modules-load.d', '/run/modules-load.d', '/usr/lib/modules-load.d'].flatMap(
      (directory) => system.list(directory).map((name) => `${directory}/${name}`),
    ),
  ];
  const named = files.find((path) => /^\s*tls\s*$/m.test(system.read(path) ?? ''));
  if (named !== undefined || tlsIsBuiltIn(system)) {
    return pass('module.boot', 'Loading at boot', named ? `${named} names it.` : 'It is built in.');
  }
  if (containerKind(system) !== null) {
    return info(
      'module.boot',
      'Loading at boot',
      'What the host loads at its next boot cannot be seen from a container.',
      'echo tls > /etc/modules-load.d/tls.conf # on the host',
    );
  }
  return warn(
    'module.boot',
    'Loading at boot',
    'Nothing loads the module at the next boot.',
    'echo tls > /etc/modules-load.d/tls.conf',
  );
}

function tcpDiag(system: System): Finding {
  const there =
    system.list('/sys/module/tcp_diag').length > 0 ||
    kernelConfig(system)?.('CONFIG_INET_TCP_DIAG') === 'y';
  if (!there) {
    return info(
      'module.tcp-diag',
      'The tcp_diag module',
      'It is not loaded, which the kernel does by itself when it is first asked about a socket. Where it cannot, socket.offload and "ktls counters" do not tell a device from software.',
      'modprobe tcp_diag # if that is so',
    );
  }
  return pass(
    'module.tcp-diag',
    'The tcp_diag module',
    'The kernel can be asked about each socket.',
  );
}

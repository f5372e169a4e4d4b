/** Whether something stands between this process and the machine's own kernel and network stack. */
import { type Finding, fail, info, pass, warn } from './finding.js';
import { type System, inUserNamespace, statusField } from './system.js';

export function checkSandbox(system: System): Finding[] {
  return [container(system), seccomp(system), ...userSpaceNetwork(system)];
}

function container(system: System): Finding {
  const check = 'sandbox.container';
  // gVisor answers every program with this version, whatever the host's.
  if (/^Linux version 4\.4\.0 .*2016/.test(system.read('/proc/version') ?? '')) {
    return fail(
      check,
      'gVisor',
      "This is gVisor's own network stack, which has no kernel TLS.",
      'run the container with another runtime (runc)',
    );
  }
  const kind = containerKind(system);
  if (kind === null) return pass(check, 'Container', 'None was recognised.');
  return info(
    check,
    'Container',
    `This looks like ${kind}: the kernel, its modules and the network card are the host's, and so are the commands that change them.`,
  );
}

/** @returns `null` if none is recognised. */
export function containerKind(system: System): string | null {
  if (system.read('/.dockerenv') !== null) return 'Docker';
  if (system.read('/run/.containerenv') !== null) return 'Podman';
  if (/microsoft/i.test(system.process.release)) return 'WSL';
  const cgroup = system.read('/proc/self/cgroup') ?? '';
  // Of cgroup v2 a container sees no more than "0::/".
  const account = system.list('/var/run/secrets/kubernetes.io');
  if (cgroup.includes('kubepods') || account.length > 0) return 'Kubernetes';
  if (/docker|lxc|containerd/.test(cgroup)) return 'a container';
  const named = /(?:^|\0)container=([^\0]+)/.exec(system.read('/proc/1/environ') ?? '')?.[1];
  if (named !== undefined) return named;
  return inUserNamespace(system) ? 'a user namespace' : null;
}

function seccomp(system: System): Finding {
  const check = 'sandbox.seccomp';
  if (system.probe().reason?.code === 'ERR_KTLS_SANDBOX') {
    return fail(
      check,
      'System calls',
      'A filter refuses what kernel TLS needs: setsockopt with TCP_ULP, or even a loopback connection.',
      'allow setsockopt, recvmsg and sendmsg in the seccomp profile',
    );
  }
  return statusField(system, 'Seccomp') === '2'
    ? info(check, 'System calls', 'A seccomp filter is set, and lets pass what was tried.')
    : pass(check, 'System calls', 'No seccomp filter is set.');
}

/** Libraries that replace the kernel's sockets: their connections never reach net/tls. */
function userSpaceNetwork(system: System): Finding[] {
  const text = `${system.process.ldPreload}\n${system.read('/proc/self/maps') ?? ''}`;
  const library = /lib(xlio|vma|onload)\.so/.exec(text)?.[1];
  if (library === undefined) return [];
  return [
    warn(
      'sandbox.preload',
      'User-space network stack',
      `lib${library} is preloaded: connections that it carries do not pass through the kernel, so this library cannot offload them.`,
      'unset LD_PRELOAD # for this process; XLIO offloads TLS only for an OpenSSL with kernel TLS, which Node has not',
    ),
  ];
}

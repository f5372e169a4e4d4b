import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openArchive, unpack } from './apt.js';
import { buildOnce, cachePath } from './cache.js';
import { VmError } from './errors.js';
import { requireTools } from './tools.js';

/** What runs on the host comes from the host's own Debian release, for the sake of its libc. */
interface HostRelease {
  readonly codename: string;
  readonly suites: readonly string[];
  /** The suite with QEMU 10 or later. */
  readonly qemuSuite: string;
  readonly virtiofsd: { readonly name: string; readonly suite: string; readonly program: string };
}

const releases: readonly HostRelease[] = [
  {
    codename: 'bookworm',
    suites: ['bookworm', 'bookworm-security', 'bookworm-backports'],
    qemuSuite: 'bookworm-backports',
    // Part of QEMU 7.2 here, dropped by QEMU 8; it serves a newer QEMU well.
    virtiofsd: {
      name: 'qemu-system-common',
      suite: 'bookworm',
      program: 'usr/lib/qemu/virtiofsd',
    },
  },
  {
    codename: 'trixie',
    suites: ['trixie', 'trixie-security'],
    qemuSuite: 'trixie',
    virtiofsd: { name: 'virtiofsd', suite: 'trixie', program: 'usr/libexec/virtiofsd' },
  },
];

async function hostRelease(): Promise<HostRelease> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const codename = /^VERSION_CODENAME="?([\w-]+)/m.exec(text)?.[1] ?? 'unknown';
  const release = releases.find((candidate) => candidate.codename === codename);
  if (release) return release;
  throw new VmError(
    'ERR_KTLS_VM_UNSUPPORTED_HOST',
    `the VM harness takes its tools from Debian bookworm or trixie; this host is ${codename}`,
  );
}

/**
 * Unpacks a package and the dependencies that the host lacks into the cache; the host stays as it
 * is.
 * @returns the directory that stands for the packages' root
 */
async function unpackAside(key: string, name: string, suite: string): Promise<string> {
  const { codename, suites } = await hostRelease();
  const root = cachePath('host', codename, key);
  if (existsSync(root)) return root;
  await requireTools(['dpkg-deb', 'flock']);
  return buildOnce(root, async (directory) => {
    process.stderr.write(`ktls-vm: fetching ${name} of ${suite}\n`);
    const archive = await openArchive(suites);
    const files = await archive.downloadWithDependencies(name, suite, join(directory, 'debs'));
    await unpack(files, join(directory, 'root'));
    return join(directory, 'root');
  });
}

/** QEMU's packages unpacked. @returns their root */
export async function fetchQemu(): Promise<string> {
  return unpackAside('qemu', 'qemu-system-x86', (await hostRelease()).qemuSuite);
}

/** virtiofsd's package unpacked. @returns its root and the program in it */
export async function fetchVirtiofsd(): Promise<{ root: string; program: string }> {
  const { name, suite, program } = (await hostRelease()).virtiofsd;
  const root = await unpackAside('virtiofsd', name, suite);
  return { root, program: join(root, program) };
}

/** A statically linked busybox, for the guest. */
export async function fetchBusybox(): Promise<string> {
  const root = await unpackAside('busybox', 'busybox-static', (await hostRelease()).suites[0]!);
  const inBin = join(root, 'bin', 'busybox'); // bookworm
  return existsSync(inBin) ? inBin : join(root, 'usr', 'bin', 'busybox');
}

/** What only benchmarks and tests of interoperation need, by program. */
const programPackages = {
  ethtool: 'ethtool',
  h2load: 'nghttp2-client',
  mosquitto: 'mosquitto',
  nginx: 'nginx',
  postgres: 'postgresql',
  'redis-server': 'redis-server',
  wget: 'wget',
  wrk: 'wrk',
} as const;

export type PackagedProgram = keyof typeof programPackages;

/** A program with the packages it needs, unpacked. @returns their root */
export async function fetchProgram(name: PackagedProgram): Promise<string> {
  return unpackAside(name, programPackages[name], (await hostRelease()).suites[0]!);
}

import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { runText } from './command.js';
import { VmError } from './errors.js';
import { type PackagedProgram, fetchProgram, fetchQemu, fetchVirtiofsd } from './fetch-host.js';
import { findProgram } from './tools.js';

/** A program of the host's, or one unpacked into the cache with its own libraries. */
export interface HostProgram {
  readonly program: string;
  readonly libraries: readonly string[];
}

/** QEMU 7.2 is broken for this (vm/qemu.ts); 10.0 ran every kernel. */
const qemuMinimum = 10;

/** QEMU and its version, with the directories of its firmware where they are not its own. */
export async function findQemu(): Promise<
  HostProgram & { version: string; firmware: readonly string[] }
> {
  const own = findProgram('qemu-system-x86_64');
  if (own) {
    const version = await versionOf(own, []);
    if (parseInt(version) >= qemuMinimum) {
      return { program: own, version, libraries: [], firmware: [] };
    }
  }
  const root = await fetchQemu();
  const program = join(root, 'usr', 'bin', 'qemu-system-x86_64');
  const libraries = librariesOf(root);
  const version = await versionOf(program, libraries);
  if (parseInt(version) < qemuMinimum) {
    throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `${program} is older than ${qemuMinimum}`);
  }
  const firmware = ['qemu', 'seabios'].map((name) => join(root, 'usr', 'share', name));
  return { program, version, libraries, firmware };
}

/** virtiofsd, and whether it is the older one in C, whose options differ. */
export async function findVirtiofsd(): Promise<HostProgram & { inC: boolean }> {
  const own = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'].find(existsSync);
  const { root, program } = own ? { root: '/', program: own } : await fetchVirtiofsd();
  const libraries = own ? [] : librariesOf(root);
  return { program, libraries, inC: program.includes('/qemu/') };
}

/**
 * Variables with which other software is found, whether the host has it or the cache: PATH, and
 * LD_LIBRARY_PATH where it is needed.
 */
export async function programsEnvironment(
  names: readonly PackagedProgram[],
): Promise<Record<string, string>> {
  const programs = await Promise.all(names.map(findPackaged));
  const libraries = programs.flatMap((each) => each.libraries);
  const directories = new Set(programs.map(({ program }) => dirname(program)));
  return {
    PATH: [...directories, process.env['PATH'] ?? ''].join(delimiter),
    ...(libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(delimiter) } : {}),
  };
}

async function findPackaged(name: PackagedProgram): Promise<HostProgram> {
  const own = inPackage('/', name) ?? findProgram(name);
  if (own !== undefined) return { program: own, libraries: [] };
  const root = await fetchProgram(name);
  const program = inPackage(root, name);
  if (program === undefined) {
    throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `no ${name} below ${root}`);
  }
  return { program, libraries: librariesOf(root) };
}

function inPackage(root: string, name: string): string | undefined {
  // Debian's PostgreSQL stands aside, for several versions of it side by side.
  const postgresql = join(root, 'usr/lib/postgresql');
  const versions = existsSync(postgresql) ? readdirSync(postgresql) : [];
  return [
    ...versions.map((version) => join(postgresql, version, 'bin')),
    ...['usr/bin', 'usr/sbin', 'sbin'].map((directory) => join(root, directory)),
  ]
    .map((directory) => join(directory, name))
    .find(existsSync);
}

const triplets: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
  arm: 'arm-linux-gnueabihf',
  ppc64: 'powerpc64le-linux-gnu',
  riscv64: 'riscv64-linux-gnu',
  s390x: 's390x-linux-gnu',
};

/** The directory of an architecture's libraries. @throws VmError if Debian has no port for it */
export function debianTriplet(architecture: NodeJS.Architecture = process.arch): string {
  const triplet = triplets[architecture];
  if (triplet !== undefined) return triplet;
  throw new VmError('ERR_KTLS_VM_UNSUPPORTED_HOST', `no Debian libraries for ${architecture}`);
}

function librariesOf(root: string): string[] {
  return ['usr/lib', 'lib']
    .map((directory) => join(root, directory, debianTriplet()))
    .filter(existsSync);
}

/** `0` if the program does not say. */
async function versionOf(program: string, libraries: readonly string[]): Promise<string> {
  const environment = libraries.length > 0 ? [`LD_LIBRARY_PATH=${libraries.join(':')}`] : [];
  const text = await runText('env', [...environment, program, '--version']);
  return /version (\d+(?:\.\d+)+)/.exec(text)?.[1] ?? '0';
}

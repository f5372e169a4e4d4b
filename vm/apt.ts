import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachePath, withLock } from './cache.js';
import { run, runText } from './command.js';
import { VmError } from './errors.js';

/** Package lists older than this are fetched anew before a package is looked up in them. */
const listsMaxAgeMs = 3_600_000;
const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** One of apt's own sources that is a Debian archive. */
interface Mirror {
  readonly uri: string;
  readonly security: boolean;
  /** Keyring files. */
  readonly keyrings: readonly string[];
}

/** A package as `apt-cache show` has it. */
export interface PackageRecord {
  readonly version: string;
  /** Names in Depends, first alternatives only, without version constraints. */
  readonly depends: readonly string[];
}

/**
 * A few Debian suites, read through apt with its state, cache and sources of our own: the host's
 * lists, its pinning and its installed packages stay as they are. Proxies, credentials and mirrors
 * are those of the host's apt.
 */
export interface Archive {
  /** The newest version of a package. */
  show: (name: string) => Promise<PackageRecord>;
  /** Downloads exactly these packages. @returns the .deb files */
  download: (names: readonly string[], directory: string) => Promise<string[]>;
  /** Downloads a package of `suite` with whatever of its dependencies the host lacks. */
  downloadWithDependencies: (name: string, suite: string, directory: string) => Promise<string[]>;
  /** Downloads packages with all that they depend on, whatever the host has. */
  downloadAll: (names: readonly string[], directory: string) => Promise<string[]>;
  /** Downloads the upstream tarballs of a source package, without Debian's own changes. */
  downloadSource: (name: string, directory: string) => Promise<string[]>;
}

export interface ArchiveOptions {
  /** Source packages instead of binary ones: of the members only `downloadSource` then works. */
  readonly sources?: boolean;
}

/** In one step: the apt of another process may be reading it. */
async function replace(file: string, text: string, mode: number): Promise<void> {
  await writeFile(`${file}.new`, text, { mode });
  await rename(`${file}.new`, file);
}

/**
 * Opens some suites of the machine's own mirrors.
 * @param suites of the main archive (`trixie`, `trixie-backports`) or security (`trixie-security`)
 * @throws VmError ERR_KTLS_VM_NO_ARCHIVE, ERR_KTLS_VM_TOOL_FAILED
 */
export async function openArchive(
  suites: readonly string[],
  { sources: withSources = false }: ArchiveOptions = {},
): Promise<Archive> {
  const state = cachePath('apt', suites.join('+') + (withSources ? '+sources' : ''));
  const config = join(state, 'apt.conf');
  const options = ['-c', config, '-q'];
  await withLock(state, async () => {
    const binary = sourceLines(await debianMirrors(), suites);
    const sources = withSources ? binary.map((line) => line.replace(/^deb /, 'deb-src ')) : binary;
    await mkdir(join(state, 'lists', 'partial'), { recursive: true });
    await mkdir(join(state, 'archives', 'partial'), { recursive: true });
    // A mirror's URI may carry credentials.
    await replace(join(state, 'sources.list'), sources.join('\n') + '\n', 0o600);
    await replace(config, aptConfig(state), 0o644);
    const stamp = join(state, 'updated');
    if (existsSync(stamp) && Date.now() - (await stat(stamp)).mtimeMs < listsMaxAgeMs) return;
    await run('apt-get', [...options, 'update']);
    await writeFile(stamp, '');
  });
  return {
    show: async (name) => {
      const text = await runText('apt-cache', [...options, 'show', '--no-all-versions', name]);
      const version = /^Version: (.*)$/m.exec(text)?.[1];
      if (!version) throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `no package ${name}`);
      const depends = (/^Depends: (.*)$/m.exec(text)?.[1] ?? '')
        .split(',')
        .map((dependency) => dependency.trim().split(/[ :(|]/)[0]!)
        .filter((dependency) => dependency !== '');
      return { version, depends };
    },
    download: async (names, directory) => {
      await run('apt-get', [...options, 'download', ...names], { cwd: directory });
      return packageFiles(directory);
    },
    downloadWithDependencies: async (name, suite, directory) => {
      await mkdir(join(directory, 'partial'), { recursive: true });
      const archives = `Dir::Cache::archives=${directory}`;
      const install = ['install', '-y', '--download-only', '--reinstall', '--allow-downgrades'];
      const target = ['--no-install-recommends', '-t', suite, `${name}/${suite}`];
      await run('apt-get', [...options, '-o', archives, ...install, ...target]);
      return packageFiles(directory);
    },
    downloadAll: async (names, directory) => {
      await mkdir(join(directory, 'partial'), { recursive: true });
      // As if nothing were installed.
      const status = join(directory, 'partial', 'status');
      await writeFile(status, '');
      const places = [
        '-o',
        `Dir::Cache::archives=${directory}`,
        '-o',
        `Dir::State::status=${status}`,
      ];
      const install = ['install', '-y', '--download-only', '--no-install-recommends', ...names];
      await run('apt-get', [...options, ...places, ...install]);
      return packageFiles(directory);
    },
    downloadSource: async (name, directory) => {
      const source = ['source', '--download-only', '--tar-only', '--only-source', name];
      await run('apt-get', [...options, ...source], { cwd: directory });
      return (await readdir(directory)).map((file) => join(directory, file));
    },
  };
}

/** Unpacks packages over one another into `directory`, without their scripts. */
export async function unpack(files: readonly string[], directory: string): Promise<void> {
  for (const file of files) {
    await run('dpkg-deb', ['-x', file, directory]);
    await rm(file);
  }
}

async function packageFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => name.endsWith('.deb')).map((name) => join(directory, name));
}

function aptConfig(state: string): string {
  const quote = (value: string): string => `"${value}"`;
  return [
    // The host's hooks (appstreamcli, a container image's clean-up) act on the host's state.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Post-Invoke;',
    `Dir::State ${quote(state)};`,
    `Dir::State::Lists ${quote(join(state, 'lists'))};`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache ${quote(state)};`,
    `Dir::Cache::archives ${quote(join(state, 'archives'))};`,
    `Dir::Etc::SourceList ${quote(join(state, 'sources.list'))};`,
    'Dir::Etc::SourceParts "/dev/null";',
    'Dir::Etc::Preferences "/dev/null";',
    'Dir::Etc::PreferencesParts "/dev/null";',
    'Acquire::Languages "none";',
    // The user _apt cannot write to a home directory's cache.
    'APT::Sandbox::User "root";',
    // Ordinary users may not lock dpkg, and nothing is installed.
    'Debug::NoLocking "true";',
    '',
  ].join('\n');
}

function sourceLines(mirrors: readonly Mirror[], suites: readonly string[]): string[] {
  const lines = suites.flatMap((suite) =>
    mirrors
      .filter((mirror) => mirror.security === suite.endsWith('-security'))
      .map(({ uri, keyrings }) => {
        const signedBy = keyrings.length > 0 ? `[signed-by=${keyrings.join(',')}] ` : '';
        return `deb ${signedBy}${uri} ${suite} main`;
      }),
  );
  if (!lines.some((line) => !line.endsWith('-security main'))) {
    throw new VmError('ERR_KTLS_VM_NO_ARCHIVE', "apt's sources name no Debian archive");
  }
  return [...new Set(lines)];
}

/** The Debian archives among apt's sources, whichever of the source formats they stand in. */
async function debianMirrors(): Promise<Mirror[]> {
  const fields = ['REPO_URI', 'RELEASE', 'COMPONENT', 'ORIGIN', 'SOURCESENTRY'];
  const format = fields.map((field) => `$(${field})`).join('|');
  const list = (options: readonly string[]): Promise<string> =>
    runText('apt-get', [...options, 'indextargets', '--format', format, 'Created-By: Packages']);
  let text = await list([]);
  if (text === '') {
    // apt lists only what it has fetched; a container's image often comes without package lists.
    const lists = cachePath('apt', 'host-lists');
    await mkdir(join(lists, 'partial'), { recursive: true });
    const options = ['-o', `Dir::State::Lists=${lists}`, '-o', 'APT::Sandbox::User=root'];
    await run('apt-get', [...options, '-o', 'Debug::NoLocking=true', 'update']);
    text = await list(options);
  }
  const targets = text.split('\n').map((line) => line.split('|'));
  const mirrors: Mirror[] = [];
  for (const [uri = '', release = '', component, origin, entry = ''] of targets) {
    const plain = /^[a-z+]+:\//.test(uri) && !uri.startsWith('cdrom:');
    if (!plain || component !== 'main' || origin !== 'Debian') continue;
    if (mirrors.some((mirror) => mirror.uri === uri)) continue;
    const security = /-security$|\/updates$/.test(release);
    mirrors.push({ uri, security, keyrings: await keyringsOf(entry) });
  }
  return mirrors;
}

/**
 * The keyrings of one source; apt 2.6 (bookworm) does not tell them in indextargets.
 * @param entry file and place, as in `/etc/apt/sources.list.d/debian.sources:1`: a stanza's number
 *   there, a line's in a `.list`
 */
async function keyringsOf(entry: string): Promise<string[]> {
  const [, file = '', place = ''] = /^(.*):(\d+)$/.exec(entry) ?? [];
  const text = await readFile(file, 'utf8').catch(() => '');
  const entries = text.split(file.endsWith('.sources') ? /\n\s*\n/ : '\n');
  const named = /signed-by\s*[:=]\s*([^\]\s]+)/i.exec(entries[Number(place) - 1] ?? '')?.[1];
  return [...new Set([...(named?.split(',') ?? []), debianKeyring])].filter(
    (keyring) => keyring.startsWith('/') && existsSync(keyring),
  );
}

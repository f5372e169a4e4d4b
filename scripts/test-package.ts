/**
 * `npm run test:package`: what npm would publish, looked at and installed. The tarball holds what it should
 * and no more; publint and arethetypeswrong have nothing to say; it installs in a root without compiler or
 * network, and there offloads a connection under a kernel that has TLS; its addons load on the hosts that
 * this one is not. With `--tarball` only the first two, with such addons as there are.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runInVm } from '../vm/run.js';
import { insideCommand, makeCleanRoot, runInside } from './package/clean-root.js';
import { bindWithMusl, loadOnArm64 } from './package/foreign.js';
import { lint, pack } from './package/tarball.js';
import { architectures, prebuild, prebuiltAddon } from './prebuilt-addons.js';

const work = resolve('out/package');
const say = (line: string): void => console.log(line);

const newest = (paths: readonly string[]): number =>
  Math.max(
    ...paths.map((path) => {
      const stat = statSync(path);
      if (!stat.isDirectory()) return stat.mtimeMs;
      return newest(readdirSync(path).map((name) => join(path, name)));
    }),
  );

async function prebuildStale(): Promise<void> {
  const sources = newest(['src-native', 'binding.gyp']);
  for (const architecture of architectures) {
    const file = prebuiltAddon(architecture);
    if (!existsSync(file) || statSync(file).mtimeMs < sources) await prebuild(architecture);
  }
}

/** Installs the tarball's dependencies from the registry, then builds or does not, cut off from all. */
function install(tarball: string, root: string): void {
  makeCleanRoot(root);
  const app = join(root, 'app');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const npm = ['install', '--prefix', app, '--ignore-scripts', '--omit=dev', ...quiet, tarball];
  execFileSync('npm', npm, { stdio: ['ignore', 2, 2] });
  for (const tool of ['gcc', 'g++', 'cc', 'clang', 'make', 'python3']) {
    const found = runInside(root, ['/bin/sh', '-c', `command -v ${tool} || true`]);
    if (found !== '') throw new Error(`the clean root has ${tool}`);
  }
  runInside(root, ['node', '/usr/lib/npm/bin/npm-cli.js', 'rebuild', '--foreground-scripts']);
  if (existsSync(join(app, 'node_modules/ktls/build')))
    throw new Error('the addon was built there');
  copyFileSync('scripts/package/check.mjs', join(app, 'check.mjs'));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const files = [join(app, 'key.pem'), '-out', join(app, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...subject, ...key, ...files], {
    stdio: 'ignore',
  });
}

interface Checked {
  addons: string[];
  available: boolean;
  reason: string | null;
  echo?: string;
  offload?: { offloaded: boolean; tx: string; rx: string };
}

const shipped = `/app/node_modules/ktls/${prebuiltAddon(process.arch as 'x64')}`;

function expectAddon({ addons, reason }: Checked): void {
  if (addons.length !== 1 || addons[0] !== shipped || reason === 'ERR_KTLS_NO_ADDON') {
    throw new Error(`expected ${shipped} to be loaded, not ${addons.join(', ')} (${reason ?? ''})`);
  }
}

function checkOnHost(root: string): void {
  const result = JSON.parse(runInside(root, ['node', 'check.mjs'])) as Checked;
  expectAddon(result);
  say(`no compiler, no network: ${shipped} loads; this kernel: ${result.reason ?? 'has TLS'}`);
  const bench = ['node', 'node_modules/ktls/dist/cli.js', 'bench', '--full', '--list'];
  const trials = runInside(root, bench).trim().split('\n');
  if (!trials.includes('memory-1kib')) throw new Error(`ktls bench: ${trials.join(' ')}`);
  say(`ktls bench knows ${trials.length} trials`);
}

async function checkInVm(root: string): Promise<void> {
  let output = '';
  const { status } = await runInVm({
    kernel: 'trixie',
    command: insideCommand(root, ['node', 'check.mjs', 'offload']),
    cpus: 1,
    timeoutSeconds: 240,
    onOutput: (chunk: Buffer) => {
      output += chunk.toString();
    },
  });
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (status !== 0 || line === undefined) throw new Error(`in the VM (${status}):\n${output}`);
  const result = JSON.parse(line) as Checked;
  expectAddon(result);
  const { offload, echo } = result;
  if (offload?.offloaded !== true || echo !== 'through the kernel') throw new Error(line);
  say(`kernel trixie: offloaded, tx ${offload.tx}, rx ${offload.rx}; the echo came back`);
}

if (process.argv.includes('--tarball')) {
  const { path, lacks, summary } = pack(work);
  lint(path);
  say(
    summary + lacks.map((each) => `; without the addon for ${each}, which is not built`).join(''),
  );
  process.exit();
}
if (process.getuid?.() !== 0 || process.arch !== 'x64') {
  console.error('npm run test:package needs root, for chroot(2), and an x64 host, for the VM');
  process.exit(1);
}
await prebuildStale();
const { path: tarball, lacks, summary } = pack(work);
say(summary);
if (lacks.length > 0) throw new Error(`it lacks the addons for ${lacks.join(', ')}`);
lint(tarball);
const root = join(work, 'root');
install(tarball, root);
checkOnHost(root);
await checkInVm(root);
say(`musl's loader binds the x64 addon, ${await bindWithMusl('.', work)} functions of libc`);
say(`arm64 under QEMU: ${await loadOnArm64('.', work)}`);
say('\nThe package is fit to be published.');

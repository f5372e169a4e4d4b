/**
 * Everything a fresh Debian machine with Node and npm needs to build, test and demonstrate this package:
 * the compiler, the npm packages, the addon, the JavaScript. Each step is skipped when it is up to date.
 * Plain JavaScript without imports from npm, because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

/** The Debian package that has each program the set-up, the tests and the demonstration call. */
const programs = {
  python3: 'python3',
  make: 'make',
  'g++': 'g++',
  openssl: 'openssl',
  curl: 'curl',
  wget: 'wget',
};

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (error) throw error;
  if (status !== 0) {
    console.error(`ktls setup: ${command} ${args.join(' ')} failed`);
    process.exit(1);
  }
}

function onPath(program) {
  return process.env.PATH.split(':').some((folder) => existsSync(join(folder, program)));
}

function installPrograms() {
  const missing = Object.keys(programs).filter((program) => !onPath(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => programs[program]))];
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.platform !== 'linux' || !onPath('apt-get') || process.getuid() !== 0) {
    console.error(
      `ktls setup: missing ${missing.join(', ')}; install them, on Debian as root with`,
    );
    console.error(`  ${command}`);
    process.exit(1);
  }
  console.error(`ktls setup: installing ${packages.join(' ')}`);
  run('apt-get', ['update', '-qq']);
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages]);
}

/** The newest modification time below the paths, in milliseconds; 0 if there is nothing. */
function newest(paths, extension) {
  let time = 0;
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const stat = statSync(path);
    if (!stat.isDirectory()) time = Math.max(time, stat.mtimeMs);
    else {
      const below = readdirSync(path, { recursive: true })
        .filter((name) => name.endsWith(extension))
        .map((name) => join(path, name));
      time = Math.max(time, ...below.map((file) => statSync(file).mtimeMs));
    }
  }
  return time;
}

function installPackages() {
  if (newest(['node_modules/.package-lock.json']) >= newest(['package-lock.json'])) return;
  console.error('ktls setup: npm install');
  // The addon is built below, where a failure is an error.
  // Not `npm ci`: it calls a lock incomplete that leaves out other platforms' optional packages.
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', ['install', '--no-save', '--ignore-scripts', ...quiet]);
}

/** True if the JavaScript in a folder is older than what it is made of. */
function stale(output, sources) {
  return newest([output], '.js') < newest([...sources, 'tsconfig.json'], '.ts');
}

function compile(project) {
  console.error(`ktls setup: tsc -p ${project}`);
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project]);
}

function compileLibrary() {
  const project = 'tsconfig.build.json';
  const bundle = 'scripts/bundle.mjs';
  if (!stale('dist', ['lib', 'package.json', project, bundle])) return;
  // Chunks are named by their contents, and would pile up.
  rmSync('dist', { recursive: true, force: true });
  compile(project);
  run(process.execPath, [bundle]);
}

function compileTools() {
  const project = 'tsconfig.tools.json';
  const sources = ['vm', 'scripts', 'examples', 'benchmarks'];
  if (stale('out', [...sources, project])) compile(project);
}

installPrograms();
installPackages();
run(process.execPath, ['scripts/install.cjs', '--build']);
compileLibrary();
compileTools();

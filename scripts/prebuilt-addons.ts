/**
 * The addons that the package ships, built by prebuildify, one for each processor: Node-API makes it the
 * same for every Node, `src-native/prebuilt` for every libc. Cross compilers are Debian's. What comes out
 * is held against what `scripts/portability.ts` allows.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { examinePortability } from './portability.js';
import { requirePackages } from '../vm/tools.js';

/** The prefix of the compiler's programs, and Debian's package of it. */
const toolchains = {
  x64: { prefix: 'x86_64-linux-gnu-', compiler: 'g++-x86-64-linux-gnu' },
  arm64: { prefix: 'aarch64-linux-gnu-', compiler: 'g++-aarch64-linux-gnu' },
} as const;
export type Architecture = keyof typeof toolchains;

export const architectures = Object.keys(toolchains) as Architecture[];
export const prebuiltAddon = (architecture: Architecture): string =>
  `prebuilds/linux-${architecture}/ktls.node`;

/** A Node that brings its headers needs no download; both processors have the same ones. */
function nodeHeaders(): NodeJS.ProcessEnv {
  const prefix = dirname(dirname(process.execPath));
  const there = existsSync(join(prefix, 'include/node/node_api.h'));
  return there ? { npm_config_nodedir: prefix } : {};
}

async function build(architecture: Architecture): Promise<void> {
  const { prefix, compiler } = toolchains[architecture];
  // The native compiler has the prefixed names as well.
  await requirePackages({
    [`${prefix}g++`]: process.arch === architecture ? 'g++' : compiler,
    make: 'make',
    python3: 'python3',
  });
  // A root of its own: node-gyp begins by removing build/, which has the developer's addon.
  const root = resolve('out/prebuild', architecture);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  for (const name of ['package.json', 'binding.gyp', 'src-native']) {
    cpSync(name, join(root, name), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  const { status } = spawnSync(
    process.execPath,
    [
      resolve('node_modules/prebuildify/bin.js'),
      ...['--napi', '--strip', '--target', process.versions.node, '--cwd', root, '--out', '.'],
      ...['--platform', 'linux', '--arch', architecture, '--strip-bin', `${prefix}strip`],
      ...['--node-gyp', resolve('node_modules/.bin/node-gyp'), '--quiet'],
    ],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        ...nodeHeaders(),
        CC: `${prefix}gcc`,
        CXX: `${prefix}g++`,
        AR: `${prefix}ar`,
        // Read by node-gyp, which prebuildify gives no such option.
        JOBS: 'max',
        GYP_DEFINES: 'ktls_prebuilt=true ktls_strict=true',
      },
    },
  );
  if (status !== 0) throw new Error(`prebuildify for ${architecture} failed`);
}

/** Builds the addon and says what it needs. @throws Error if that is more than it may */
export async function prebuild(architecture: Architecture): Promise<void> {
  await build(architecture);
  const file = prebuiltAddon(architecture);
  const { problems, glibc } = examinePortability(file, `${toolchains[architecture].prefix}objdump`);
  if (problems.length > 0) throw new Error(`${file}:\n  ${problems.join('\n  ')}`);
  const size = (statSync(file).size / 1024).toFixed(0);
  console.log(`${file}: ${size} KiB; needs glibc ${glibc} or any musl, no C++ library`);
}

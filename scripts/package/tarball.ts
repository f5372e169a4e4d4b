/** What npm would publish: whether it holds what it should and no more, is small enough, and well formed. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Architecture, architectures, prebuiltAddon } from '../prebuilt-addons.js';

/** In KiB. An addition to the package is a decision, and this the place to take it. */
const budget = { packed: 512, unpacked: 2048 };

/** Every file must be under one of these; each must be there. */
const contents = [
  /^dist\/.+\.(js|js\.map|d\.ts)$/,
  /^docs\/[^/]+\.(md|json)$/,
  /^src-native\/[^/]+\.(cc|h)$/,
  /^prebuilds\/linux-(x64|arm64)\/ktls\.node$/,
  /^binding\.gyp$/,
  /^scripts\/install\.cjs$/,
  /^out\/(benchmarks|vm)\/.+\.js$/,
  /^out\/scripts\/bench\.js$/,
  /^vm\/guest\//,
  /^(package\.json|README\.md|LICENSE)$/,
];

interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string }[];
}

interface Tarball {
  readonly path: string;
  /** The addons that are not in it, since they have not been built. */
  readonly lacks: readonly Architecture[];
  /** What was found, in words. */
  readonly summary: string;
}

/**
 * Packs the package into `directory`, which is emptied.
 *
 * @throws Error if there is something in it that nobody has decided to ship, or something is missing but for
 * addons; or if it is too large. What lacks counts as much as an addon that there is.
 */
export function pack(directory: string): Tarball {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory];
  const [packed] = JSON.parse(execFileSync('npm', args, { encoding: 'utf8' })) as [Packed];
  const paths = packed.files.map(({ path }) => path);
  const strange = paths.filter((path) => !contents.some((part) => part.test(path)));
  const missing = contents.filter((part) => !paths.some((path) => part.test(path)));
  if (strange.length + missing.length > 0) {
    throw new Error(`not to be shipped: ${strange.join(', ')}; missing: ${missing.join(', ')}`);
  }
  const lacks = architectures.filter((each) => !paths.includes(prebuiltAddon(each)));
  const addon = readFileSync(paths.find((path) => path.startsWith('prebuilds/'))!);
  const kib = {
    packed: (packed.size + lacks.length * gzipSync(addon).length) / 1024,
    unpacked: (packed.unpackedSize + lacks.length * addon.length) / 1024,
  };
  const summary =
    `tarball: ${paths.length} files, ${kib.packed.toFixed(0)} KiB (at most ${budget.packed}), ` +
    `unpacked ${kib.unpacked.toFixed(0)} KiB (at most ${budget.unpacked})`;
  if (kib.packed > budget.packed || kib.unpacked > budget.unpacked) {
    throw new Error(`over budget: ${summary}`);
  }
  return { path: join(directory, packed.filename), lacks, summary };
}

/** Asks publint and arethetypeswrong. */
export function lint(tarball: string): void {
  const options = { stdio: 'inherit' } as const;
  execFileSync('node_modules/.bin/publint', ['run', tarball, '--strict'], options);
  // require() of ES modules works on every Node that `engines` allows.
  const types = [tarball, '--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm'];
  execFileSync('node_modules/.bin/attw', [...types, '--no-emoji'], options);
}

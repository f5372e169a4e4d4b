#!/usr/bin/env node
'use strict';
/*
 * Gets the native addon: npm's install script, and the developers' build (`--build`).
 *
 *   node scripts/install.cjs            a prebuilt addon that loads, or else a build; never fails
 *   node scripts/install.cjs --build    a build with warnings as errors; fails; nothing to do if fresh
 *   node scripts/install.cjs --build --force
 *
 * Never failing is on purpose: without the addon `ktls` is still a working library that leaves TLS to
 * node:tls and says why (ERR_KTLS_NO_ADDON). An optional speed-up must not break an `npm install`.
 */
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.dirname(__dirname);
const output = path.join(root, 'build', 'Release', 'ktls.node');
const developer = process.argv.includes('--build');
const force = process.argv.includes('--force');

/** Whether node-gyp-build finds an addon, and this Node can load it. */
function loads() {
  try {
    require('node-gyp-build')(root);
    return true;
  } catch {
    return false;
  }
}

function modified(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}

function isFresh() {
  const built = modified(output);
  if (built === undefined) return false;
  const sources = path.join(root, 'src-native');
  const compiled = fs.readdirSync(sources).filter((name) => /\.(cc|h)$/.test(name));
  return ['binding.gyp', 'scripts/install.cjs']
    .map((file) => path.join(root, file))
    .concat(compiled.map((file) => path.join(sources, file)))
    .every((file) => (modified(file) ?? 0) <= built);
}

/** The real path of a program on the PATH. */
function onPath(name) {
  const directories = (process.env.PATH ?? '').split(path.delimiter);
  const file = directories.map((each) => path.join(each, name)).find((each) => fs.existsSync(each));
  return file && fs.realpathSync(file);
}

/** node-gyp's script: npm says where its own is; otherwise ours, or that of the npm at hand. */
function findNodeGyp() {
  const inNpm = (cli) => cli && path.join(cli, '../../node_modules/node-gyp/bin/node-gyp.js');
  const candidates = [
    () => process.env.npm_config_node_gyp,
    () => require.resolve('node-gyp/bin/node-gyp.js'),
    () => inNpm(process.env.npm_execpath),
    () => inNpm(onPath('npm')),
  ];
  for (const candidate of candidates) {
    try {
      const file = candidate();
      if (file && fs.existsSync(file)) return file;
    } catch {
      // Not resolvable: the next one.
    }
  }
  return undefined;
}

function nodeGypArguments() {
  const options = ['rebuild', '--jobs=max'];
  // A Node that brings its headers needs no download, which a host without internet cannot do.
  const prefix = path.dirname(path.dirname(process.execPath));
  const configured =
    process.env.npm_config_nodedir ?? process.env.npm_package_config_node_gyp_nodedir;
  if (!configured && fs.existsSync(path.join(prefix, 'include/node/node_api.h'))) {
    options.push(`--nodedir=${prefix}`);
  }
  if (developer) options.push('--ktls_strict=true');
  return options;
}

/** Undefined, or what went wrong. */
function build() {
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) return 'node-gyp was not found (it is part of npm).';
  const { status, signal, error } = spawnSync(process.execPath, [nodeGyp, ...nodeGypArguments()], {
    cwd: root,
    stdio: 'inherit',
  });
  if (error) return error.message;
  if (status !== 0) return `node-gyp ended with ${signal ?? `exit code ${status}`}.`;
  if (!loads()) return 'The addon was built, but this Node cannot load it.';
  return undefined;
}

function missingTools() {
  return ['python3', 'make', 'g++'].filter(
    (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0,
  );
}

function warn(problem) {
  const missing = missingTools();
  console.warn(
    [
      '',
      'ktls: the native addon could not be built.',
      `  ${problem}`,
      missing.length > 0
        ? `  Missing on this host: ${missing.join(', ')}.`
        : '  python3, make and g++ are here; see the output above.',
      '  The build needs python3, make, a C++17 compiler and the headers of this Node',
      '  (Debian, Ubuntu: apt install python3 make g++).',
      '  ktls works without the addon, but offloads nothing: every connection uses node:tls, with',
      '  the reason ERR_KTLS_NO_ADDON. To try again: npm rebuild ktls',
      '',
    ].join('\n'),
  );
}

function main() {
  if (process.platform !== 'linux') return 0;
  if (developer ? !force && isFresh() : loads()) return 0;
  const problem = build();
  if (problem === undefined) return 0;
  if (developer) {
    console.error(`ktls: ${problem}`);
    return 1;
  }
  warn(problem);
  return 0;
}

process.exitCode = main();

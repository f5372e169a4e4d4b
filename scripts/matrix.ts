/**
 * `npm run test:matrix [-- Node … test file …]`: every test that needs kernel TLS on every kernel, with every
 * Node: some hours under emulation. `npm run test:matrix -- 22 26 test/lifecycle` for these Nodes and tests
 * only; `KTLS_KERNELS` chooses among the kernels.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isKernelName, kernels } from '../vm/kernels.js';
import { wantedOr } from './kernels.js';
import { NEED_KERNEL_TLS } from './vitest.js';

/** A major or a version. */
const isNode = (word: string): boolean => /^\d+(\.\d+)*$/.test(word);
const orAll = (chosen: string[], all: readonly string[]): readonly string[] =>
  chosen.length > 0 ? chosen : all;

const words = process.argv.slice(2);
const nodes = orAll(words.filter(isNode), ['20', '22', '24', '26']);
const paths = orAll(
  words.filter((word) => !isNode(word)),
  NEED_KERNEL_TLS,
);
const wanted = wantedOr(Object.keys(kernels).filter(isKernelName));
const cells = nodes.flatMap((node) => wanted.map((kernel) => `${kernel}@${node}`));
const program = fileURLToPath(new URL('./test.js', import.meta.url));
const { status } = spawnSync(process.execPath, [program, ...paths], {
  stdio: 'inherit',
  env: { ...process.env, KTLS_KERNELS: cells.join() },
});
process.exitCode = status ?? 1;

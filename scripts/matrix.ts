/**
 * `npm run test:matrix`: every test that needs kernel TLS on every kernel, with every Node: some hours under
 * emulation. `npm run test:matrix -- 22 26` for these Nodes only.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { kernels } from '../vm/kernels.js';

const chosen = process.argv.slice(2);
const nodes = chosen.length > 0 ? chosen : ['20', '22', '24', '26'];
const cells = nodes.flatMap((node) => Object.keys(kernels).map((kernel) => `${kernel}@${node}`));
const program = fileURLToPath(new URL('./test.js', import.meta.url));
const paths = ['test/kernel', 'test/lifecycle', 'test/interop'];
const { status } = spawnSync(process.execPath, [program, ...paths], {
  stdio: 'inherit',
  env: { ...process.env, KTLS_KERNELS: cells.join() },
});
process.exitCode = status ?? 1;

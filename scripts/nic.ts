/**
 * `npm run test:nic`: the tests of the device path, on a simulated network card (vm/ktlsim) that is built
 * for the kernel and loaded in a VM. `KTLS_KERNELS` names the kernels (default `trixie`).
 */
import { buildKtlsim } from '../vm/build-module.js';
import { isKernelName } from '../vm/kernels.js';
import { runInVm } from '../vm/run.js';
import { compileTests, guestCommand } from './vitest.js';

const paths = ['test/nic'];

await compileTests(paths);
for (const kernel of (process.env['KTLS_KERNELS'] ?? 'trixie').split(',')) {
  if (!isKernelName(kernel)) throw new Error(`KTLS_KERNELS: no kernel is called '${kernel}'`);
  console.log(`\n== kernel ${kernel}: test/nic`);
  const env = { KTLS_EXPECTED: '1', KTLS_SIM: await buildKtlsim(kernel) };
  const { status } = await runInVm({ kernel, command: guestCommand(paths), env, cpus: 1 });
  if (status !== 0) process.exitCode = 1;
}

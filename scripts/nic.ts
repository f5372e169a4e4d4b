/**
 * `npm run test:nic`: the tests of the device path, on a simulated network card (vm/ktlsim) that is built
 * for the kernel and loaded in a VM. `KTLS_KERNELS` names the kernels (default `trixie`).
 */
import { buildKtlsim } from '../vm/build-module.js';
import { programsEnvironment } from '../vm/host-programs.js';
import { testOnKernels } from './vitest.js';

await testOnKernels(
  ['test/nic'],
  async (kernel) => ({
    KTLS_SIM: await buildKtlsim(kernel),
    ...(await programsEnvironment(['ethtool'])),
  }),
  1800,
);

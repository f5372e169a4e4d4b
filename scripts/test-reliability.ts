/**
 * `npm run test:reliability`: networks that lose, reorder and delay, windows too small, peers that stop or
 * stall, system calls that fail, secrets that stay, a kernel whose module is taken away. In a VM, whose
 * loopback interface is spoilt for it; `KTLS_KERNELS` names the kernels (default `trixie`).
 * `KTLS_RELIABILITY_MIB` is how much a transfer moves each way (default 4).
 */
import { requirePackages } from '../vm/tools.js';
import { testOnKernels } from './vitest.js';

const paths = process.argv.length > 2 ? process.argv.slice(2) : ['test/reliability'];
const { KTLS_RELIABILITY_MIB: amount } = process.env;

await requirePackages({ cc: 'gcc', ip: 'iproute2', tc: 'iproute2' });
await testOnKernels(
  paths,
  () => Promise.resolve(amount === undefined ? {} : { KTLS_RELIABILITY_MIB: amount }),
  3600,
);

/**
 * `npm run test:interop`: other people's software, unmodified, against kernel TLS: curl and openssl
 * (test/interop), and frameworks, clients and Debian's servers (test/software). In a VM; `KTLS_KERNELS`
 * names the kernels (default `trixie`).
 */
import { programsEnvironment } from '../vm/host-programs.js';
import { isKernelName } from '../vm/kernels.js';
import { runInVm } from '../vm/run.js';
import { compileTests, guestCommand } from './vitest.js';

const paths = process.argv.length > 2 ? process.argv.slice(2) : ['test/interop', 'test/software'];
const programs = await programsEnvironment(['mosquitto', 'postgres', 'redis-server']);

await compileTests(paths);
for (const kernel of (process.env['KTLS_KERNELS'] ?? 'trixie').split(',')) {
  if (!isKernelName(kernel)) throw new Error(`KTLS_KERNELS: no kernel is called '${kernel}'`);
  console.log(`\n== kernel ${kernel}: ${paths.join(' ')}`);
  const env = { ...programs, KTLS_EXPECTED: '1' };
  const { status } = await runInVm({
    kernel,
    command: guestCommand(paths),
    env,
    cpus: 1,
    timeoutSeconds: 1800,
  });
  if (status !== 0) process.exitCode = 1;
}

/**
 * `npm run test:interop`: other people's software, unmodified, against kernel TLS: curl and openssl
 * (test/interop), and frameworks, clients and Debian's servers (test/software). In a VM; `KTLS_KERNELS`
 * names the kernels (default `trixie`).
 */
import { programsEnvironment } from '../vm/host-programs.js';
import { testOnKernels } from './vitest.js';

const paths = process.argv.length > 2 ? process.argv.slice(2) : ['test/interop', 'test/software'];

await testOnKernels(
  paths,
  () => programsEnvironment(['mosquitto', 'postgres', 'redis-server', 'wget', 'wrk']),
  1800,
);

/** `npm run demo`: the demonstration on this host's kernel if it has TLS, else in a VM whose kernel has. */
import { spawnSync } from 'node:child_process';
import ktls from 'ktls';
import { runInVm } from '../vm/run.js';

const script = 'out/examples/demo.js';
const { available, reason } = ktls.probe();
if (available) {
  process.exitCode = spawnSync(process.execPath, [script], { stdio: 'inherit' }).status ?? 1;
} else {
  console.log(`Not on this host: ${reason?.message ?? 'unknown reason'}.`);
  console.log('Booting a Debian kernel that has TLS in QEMU.\n');
  const { status } = await runInVm({ kernel: 'trixie', command: ['node', script] });
  process.exitCode = status;
}

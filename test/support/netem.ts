/**
 * A bad network, in the VM: the loopback interface with packets of Ethernet's size, and the kernel's netem
 * between them (tc-netem(8)).
 */
import { execFileSync } from 'node:child_process';

function run(program: string, line: string): void {
  // It is no network of this host's that may be spoilt.
  if (process.env['KTLS_VM'] === undefined) throw new Error('not in the VM');
  execFileSync(program, line.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Of the interface as it is: one "packet" holds a whole TLS record, so that losing one is rare. */
const LOOPBACK = { mtu: 65536, segments: 65535 };
const ETHERNET = { mtu: 1500, segments: 1 };

function packets({ mtu, segments }: typeof LOOPBACK): void {
  run('ip', `link set dev lo mtu ${mtu} gso_max_segs ${segments}`);
}

/** @param netem - What tc-netem(8) takes, such as `loss 1%`. @returns how to undo it. */
export function spoil(netem: string): () => void {
  packets(ETHERNET);
  run('tc', `qdisc replace dev lo root netem limit 10000 ${netem}`);
  return () => {
    run('tc', 'qdisc del dev lo root');
    packets(LOOPBACK);
  };
}

/** Limits the windows of connections made from now on, in bytes. @returns how to undo it. */
export function clampWindows(bytes: number): () => void {
  const route = 'local 127.0.0.0/8 dev lo table local';
  run('ip', `route replace ${route} window ${bytes}`);
  return () => run('ip', `route replace ${route}`);
}

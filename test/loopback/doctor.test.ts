/** `ktls doctor` on this host, whatever its kernel. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { expect, it } from 'vitest';
import { judge, judgeAll, tryAddress, tryPeer } from '../../lib/doctor/live.js';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { doctor, runCommand } from '../support/doctor.js';

it('says of this host what the probe says, with the status that fits', async () => {
  const { available, reason } = ktls.probe();
  const { verdict, findings } = await doctor();
  const kernel = findings.get('kernel.tls')!;
  expect(kernel.verdict).toBe(available ? 'pass' : 'fail');
  expect(findings.has('live.tls13')).toBe(available);
  if (available) return;
  expect(verdict).toBe('fail');
  expect(kernel.why).toContain(reason!.code);
});

it('says it in words', async () => {
  const { available, reason } = ktls.probe();
  const { code, stdout } = await runCommand(['doctor', '--no-live']);
  if (!available) {
    expect(code).toBe(1);
    expect(stdout).toMatch(/^Kernel\n {2}FAIL {2}Kernel TLS: /);
    expect(stdout.replace(/\s+/g, ' ')).toContain(reason!.code);
  }
  expect(stdout).toMatch(/^\d+ pass, \d+ info, \d+ warn, \d+ fail$/m);
});

it.each([
  [['--iface'], /--iface/],
  [['--connect', 'nowhere'], /nowhere: not HOST:PORT/],
  [['--connect', 'localhost:0'], /localhost:0: no such port/],
  [['--connect', 'localhost:99999'], /localhost:99999: no such port/],
  [['--unknown'], /--unknown/],
])('refuses %s', async (args, message) => {
  const { code, stderr } = await runCommand(['doctor', ...args]);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

it('holds nothing against a server that takes only TLS 1.2', async () => {
  const server = createServer({ ...ecdsaCertificate(), maxVersion: 'TLSv1.2' });
  server.on('tlsClientError', () => undefined);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const refused = await tryPeer('127.0.0.1', port, 'TLSv1.3');
    const taken = await tryPeer('127.0.0.1', port, 'TLSv1.2');
    expect(taken).toMatchObject({ error: null, address: '127.0.0.1' });
    const [first] = judgeAll([refused, taken]);
    expect(first).toMatchObject({ check: 'live.tls13', verdict: 'info' });
    expect(first!.why).toMatch(/protocol version\b.*\.$/);
    expect(first!.why).not.toContain('\n');
  } finally {
    server.close();
  }
});

it('reports all the same where the recording cannot be written', async () => {
  const path = '/nonexistent/machine.json';
  const { code, stdout, stderr } = await runCommand(['doctor', '--no-live', '--record', path]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^ktls: --record: ENOENT.*\n$/);
  expect(stdout).toMatch(/^\d+ pass, \d+ info, \d+ warn, \d+ fail$/m);
});

it('reports an address that nobody here can listen on', async () => {
  // RFC 5737: for documentation.
  const [finding] = judge(await tryAddress('192.0.2.1', 'TLSv1.2'));
  expect(finding).toMatchObject({ check: 'live.tls12', verdict: 'fail' });
  expect(finding!.why).toContain('EADDRNOTAVAIL');
});

/** What `ktls doctor`, `tune` and `counters` make of the simulated network card, from start to end. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import { interfaceFacts } from '../../lib/kernel/ethtool.js';
import { doctor, parsed, runCommand, verdicts } from '../support/doctor.js';
import { card, describeNic, setLink, withFault } from '../support/nic.js';

const flags = (state: 'on' | 'off'): void =>
  void execFileSync('ethtool', [
    ...['-K', card.name],
    ...['tls-hw-tx-offload', 'tls-hw-rx-offload'].flatMap((flag) => [flag, state]),
  ]);

describeNic('the commands, with a card,', (far) => {
  beforeEach(async () => {
    flags('on');
    setLink('up');
    const state = (): string => readFileSync(`/sys/class/net/${card.name}/operstate`, 'latin1');
    await expect.poll(state).toBe('up\n');
  });
  const withCard = (): string[] => ['--iface', card.name, '--connect', far.address];

  it('doctor passes with the flags on, and proves it by a connection', async () => {
    const report = await doctor(withCard());
    expect(verdicts(report)).toMatchObject({
      'interface.link': 'pass',
      'interface.driver': 'info',
      'interface.tls-hw-tx-offload': 'pass',
      'interface.tls-hw-rx-offload': 'pass',
      'live.tls12': 'pass',
      'live.tls13': 'pass',
      'live.device': 'info',
    });
    expect(report.findings.get('interface.driver')!.why).toBe('ktlsim, firmware simulated.');
    const tls12 = report.findings.get('live.tls12')!.why;
    expect(tls12).toContain('sending in the network card, receiving in the network card');
    expect(tls12).toMatch(/TlsTxDevice \+1, .*tx_tls_ctx \+1/);
    expect(report.findings.get('live.device')!.why).toContain('takes only TLS 1.2');
  });

  it('doctor says so in words', async () => {
    const { code, stdout } = await runCommand(['doctor', ...withCard()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Network interfaces\n {2}pass {2}ktlsim0: link: It is up\.$/m);
    expect(stdout).toContain('  pass  ktlsim0: tls-hw-tx-offload: On: the card takes over sending');
    expect(stdout).toMatch(/^ {2}pass {2}TLSv1\.2 with 10\.77\.0\.2:\d+: /m);
    expect(stdout).toMatch(/^\d+ pass, \d+ info, \d+ warn, 0 fail$/m);
  });

  it('doctor warns with the flags off, and tune puts them on', { timeout: 300_000 }, async () => {
    flags('off');
    const report = await doctor(withCard());
    expect(verdicts(report)).toMatchObject({
      'interface.tls-hw-tx-offload': 'warn',
      'interface.tls-hw-rx-offload': 'warn',
      'live.tls12': 'pass',
      'live.device': 'info',
    });
    const { fix } = report.findings.get('interface.tls-hw-tx-offload')!;
    expect(fix).toMatch(/^ethtool -K ktlsim0 tls-hw-tx-offload on( #.*)?$/);
    expect(report.findings.get('live.tls12')!.why).not.toContain('network card');
    const words = await runCommand(['doctor', ...withCard()]);
    expect(words.stdout).toContain('  WARN  ktlsim0: tls-hw-tx-offload: Off: the card has it.\n');
    expect(words.stdout).toContain(`\n        $ ${fix!}\n`);

    const printed = await runCommand(['tune', '--iface', card.name]);
    expect(printed.stdout).toContain('ethtool -K ktlsim0 tls-hw-tx-offload on\n');
    expect(interfaceFacts(card.name)!.features['tls-hw-tx-offload']!.active).toBe(false);
    const applied = await runCommand(['tune', '--iface', card.name, '--apply']);
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    const after = await doctor(withCard());
    expect(verdicts(after)).toMatchObject({
      'interface.tls-hw-tx-offload': 'pass',
      'interface.tls-hw-rx-offload': 'pass',
    });
    expect(after.findings.get('live.tls12')!.why).toContain('sending in the network card');
  });

  it('doctor points at the card where it refuses a connection', async () => {
    const report = await withFault('refuse', 3, () => doctor(withCard()));
    expect(verdicts(report)).toMatchObject({ 'live.tls12': 'pass', 'live.device': 'info' });
    expect(report.findings.get('live.tls12')!.why).toContain("sending in the kernel's software");
  });

  it('doctor warns of a link that is down', async () => {
    setLink('down');
    const report = await doctor(['--iface', card.name, '--no-live']);
    expect(report.findings.get('interface.link')).toMatchObject({
      verdict: 'warn',
      fix: 'ip link set ktlsim0 up',
    });
  });

  it('counters show the card and the sockets on it, in 80 columns and as JSON', async () => {
    const socket = await far.connect();
    const { stdout } = await runCommand(['counters', '--watch', '--count', '2']);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(stdout).toMatch(/^ktlsim0$/m);
    expect(stdout).toMatch(/tx_tls_ctx +[1-9]/);
    expect(stdout).toMatch(/^10\.77\.0\.1:\d+ +10\.77\.0\.2:\d+ +1\.2 aes-128-gcm hw {2}hw /m);
    const json = await runCommand(['counters', '--json']);
    expect(parsed(json.stdout, 'counters.schema.json')).toMatchObject({
      interfaces: { [card.name]: { tx_tls_ctx: expect.any(Number) as number } },
      sockets: expect.arrayContaining([
        expect.objectContaining({ peer: far.address, tx: 'device', rx: 'device' }),
      ]) as object[],
    });
    socket.destroy();
  });
});

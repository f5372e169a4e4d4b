/** What a process is told while it has nothing to ask the kernel with, and when it has again. */
import { expect, it, vi } from 'vitest';
import { probe } from '../../lib/kernel/probe.js';
import { type Errno, fault, withFaults } from '../support/faults.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

const body = `
  const ask = () => ktls.probe().reason?.code ?? 'offloads';
  const first = ask();
  process.env.KTLS_FAULT = '';
  let later;
  while ((later = ask()) === first) await delay(1);
  say(first, later, ktls.probe() === ktls.probe());
`;

it.each<Errno>(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'])(
  '%s in the first probe is not taken for the kernel',
  async (errno) => {
    const env = { ...withFaults(), KTLS_FAULT: fault('socket', errno, 0) };
    const ended = await runScript(body, { env, deadline: 30_000 });
    expect(ended).toMatchObject(clean);
    const later = probe().reason?.code ?? 'offloads';
    expect(ended.stdout).toBe(`ERR_KTLS_RESOURCES ${later} true\n`);
  },
);

it('a sandbox that forbids sockets is taken for what it is', async () => {
  const env = { ...withFaults(), KTLS_FAULT: fault('socket', 'EPERM', 0) };
  const code = 'say(ktls.probe().reason.code, ktls.probe() === ktls.probe())';
  const ended = await runScript(code, { env });
  expect(ended.stdout).toBe('ERR_KTLS_SANDBOX true\n');
});

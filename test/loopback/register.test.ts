/** `ktls/register` on any kernel: what the variable KTLS asks for, and what a host that cannot does. */
import { describe, expect, it, vi } from 'vitest';
import { kernelRefusal } from '../../lib/kernel/probe.js';
import { allOffloaded, everything, lines, preload } from '../support/register.js';
import { runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

const refusal = kernelRefusal();

describe('the variable KTLS', () => {
  const start = (value: string, body: string) =>
    runScript(body, { nodeArguments: preload, env: { KTLS: value, NODE_DEBUG: 'ktls' } });

  it('=off leaves node:tls as it is', async () => {
    const ended = await start(
      'off',
      `say(tls.connect === tls.connect, 'offload' in tls, tls.Server)`,
    );
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/function Server\(options, listener\)/);
    expect(ended.stderr).toMatch(/KTLS=off: node:tls is left as it is/);
  });

  it('with another value stops the process at its start', async () => {
    const ended = await start('always', `say('started')`);
    expect(ended.code).not.toBe(0);
    expect(ended.stdout).toBe('');
    expect(ended.stderr).toMatch(/'KTLS' must be 'prefer', 'require' or 'off'/);
  });

  it.skipIf(refusal === null)('=prefer on a host that cannot works and says why', async () => {
    const ended = await start('prefer', everything);
    expect(ended.code).toBe(0);
    expect(lines(ended.stdout)).toEqual(
      allOffloaded.map((line) => line.replace('true', 'false')).sort(),
    );
    expect(ended.stderr).toContain(refusal!.code);
  });

  it.skipIf(refusal === null)('=require on a host that cannot fails each connection', async () => {
    const ended = await start(
      'require',
      `
      const listener = server({}, tls.createServer);
      listener.on('tlsClientError', ({ code }) => say('server', code));
      const port = await listening(listener);
      const client = connect(port, {}, tls.connect);
      client.on('error', ({ code }) => say('client', code));
      await new Promise((resolve) => client.on('close', resolve));
      const raw = net.connect(port, '127.0.0.1');
      await once(raw, 'close');
      listener.close();
      `,
    );
    expect(lines(ended.stdout)).toEqual([`client ${refusal!.code}`, `server ${refusal!.code}`]);
  });

  const wrapped = `
    const { EventEmitter } = await import('node:events');
    const { on } = EventEmitter.prototype;
    EventEmitter.prototype.on = function (event, listener) {
      return on.call(this, event, function (...args) { return listener.apply(this, args); });
    };
    try {
      const listener = server({}, tls.createServer);
      listener.on('secureConnection', (socket) => socket.end('served'));
      const client = connect(await listening(listener), {}, tls.connect);
      client.on('data', (data) => say(data)).on('close', () => listener.close()).on('error', () => undefined);
    } catch ({ code }) {
      say(code);
    }
  `;

  it('=prefer leaves a server alone whose listener is wrapped', async () => {
    const ended = await start('prefer', wrapped);
    expect([ended.code, ended.stdout]).toEqual([0, 'served\n']);
    expect(ended.stderr).toMatch(/a server stays with node:tls/);
  });

  it('=require does not', async () => {
    expect((await start('require', wrapped)).stdout).toBe('ERR_KTLS_NOT_A_TLS_SERVER\n');
  });
});

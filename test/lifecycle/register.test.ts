/** `ktls/register`: a process that knows nothing of this package. */
import { describe, expect, it, vi } from 'vitest';
import { kernelRefusal } from '../../lib/kernel/probe.js';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

const preload = ['--import', 'ktls/register'];
const refusal = kernelRefusal();

/** Says which of its connections are offloaded: through https, http2, fetch's dispatcher and tls. */
const everything = `
  const { default: https } = await import('node:https');
  const { default: http2 } = await import('node:http2');
  const insecure = { rejectUnauthorized: false, host: '127.0.0.1' };
  const says = (socket) => socket.offload.offloaded + ' ' + (socket instanceof tls.TLSSocket);
  const serve = async (name, server, ask) => {
    server.on('secureConnection', (socket) => say(name, 'server', says(socket)));
    await ask(await listening(server));
    server.close();
  };
  const request = (agent) => async (port) => {
    const message = await new Promise((resolve) => https.get({ ...insecure, port, agent }, resolve));
    say('https client', says(message.socket));
    message.resume();
    await once(message, 'end');
  };
  const respond = (request, response) => response.end('x');
  await serve('https', https.createServer(certificate, respond), request(new https.Agent()));
  await serve('https', new https.Server(certificate, respond), request(false));
  await serve('http2', http2.createSecureServer(certificate, respond), async (port) => {
    const session = http2.connect('https://127.0.0.1:' + port, insecure);
    const stream = session.request({ ':path': '/' });
    stream.resume();
    await once(stream, 'end');
    say('http2 client', says(session.socket));
    session.close();
    await once(session, 'close');
  });
  for (const make of [(o) => tls.createServer(o), (o) => new tls.Server(o), (o) => tls.Server(o)]) {
    await serve('tls', make(certificate), async (port) => {
      const socket = tls.connect({ ...insecure, port });
      await once(socket, 'secureConnect');
      say('tls client', says(socket));
      socket.end();
      socket.resume();
      await once(socket, 'close');
    });
  }
`;
const allOffloaded = [
  ...['https client', 'https client', 'https server', 'https server'],
  ...['http2 client', 'http2 server'],
  ...['tls client', 'tls client', 'tls client', 'tls server', 'tls server', 'tls server'],
].map((who) => `${who} true true`);
const lines = (text: string): string[] => text.split('\n').filter(Boolean).sort();

describeKernel('a process started with ktls/register', () => {
  it.each([['--import'], ['-r']])('by %s offloads all its connections', async (flag) => {
    const ended = await runScript(everything, { nodeArguments: [flag, 'ktls/register'] });
    expect(ended).toMatchObject(clean);
    expect(lines(ended.stdout)).toEqual(allOffloaded.sort());
  });

  it('offloads those of its workers', async () => {
    const ended = await runScript(
      `const worker = startWorker(${JSON.stringify(everything)});
      say('exit', (await once(worker, 'exit'))[0]);`,
      { nodeArguments: preload },
    );
    expect(ended).toMatchObject(clean);
    expect(lines(ended.stdout)).toEqual([...allOffloaded, 'exit 0'].sort());
  });

  it('offloads for what is imported by name and for what is required', async () => {
    const ended = await runScript(
      `
      import { connect as byName, createServer as serverByName } from 'node:tls';
      import { createRequire } from 'node:module';
      const required = createRequire(process.cwd() + '/x.js')('tls');
      for (const [make, connector] of [
        [serverByName, byName],
        [required.createServer, required.connect],
      ]) {
        const listener = server({}, make);
        const accepted = once(listener, 'secureConnection');
        const client = connect(await listening(listener), {}, connector);
        await once(client, 'secureConnect');
        say(client.offload.offloaded, (await accepted)[0].offload.offloaded);
        client.destroy();
        listener.close();
      }
      `,
      { nodeArguments: preload },
    );
    expect(ended).toMatchObject({ ...clean, stdout: 'true true\n'.repeat(2) });
  });

  it('says with NODE_DEBUG=ktls what became of each connection', async () => {
    const ended = await runScript(`await pair(); process.exit();`, {
      nodeArguments: preload,
      env: { NODE_DEBUG: 'ktls' },
    });
    expect(ended.stderr).toMatch(/node:tls, node:https and node:http2 offload \(prefer\)/);
    expect(ended.stderr).toMatch(
      /127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+ offloaded: TLSv1\.3 TLS_AES/,
    );
  });

  it('may still offload a server explicitly, with a mode of its own, once', async () => {
    const ended = await runScript(
      `
      const listener = tls.createServer(certificate);
      ktls.offload(listener, { mode: 'off' });
      try { ktls.offload(listener); } catch ({ code }) { say(code); }
      const accepted = once(listener, 'secureConnection');
      const client = connect(await listening(listener), {}, tls.connect);
      say(client instanceof tls.TLSSocket, (await accepted)[0].offload.reason);
      client.destroy();
      listener.close();
      `,
      { nodeArguments: preload },
    );
    expect(ended).toMatchObject({
      ...clean,
      stdout: 'ERR_KTLS_ALREADY_OFFLOADED\ntrue ERR_KTLS_OFF\n',
    });
  });
});

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
});

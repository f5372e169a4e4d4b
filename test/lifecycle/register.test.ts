/** `ktls/register`: a process that knows nothing of this package. */
import { expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { allOffloaded, everything, lines, preload } from '../support/register.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

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

  it('fails with KTLS=require what the kernel does not know, before any application byte', async () => {
    const ended = await runScript(
      `
      // A CBC suite: no kernel has those.
      const options = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' };
      const off = { ...options, offload: { mode: 'off' } };
      const attempt = async (listener, connector, theirs) => {
        listener.on('tlsClientError', ({ code }) => say('server', code));
        const client = connect(await listening(listener), theirs, connector);
        client.on('error', ({ code }) => say('client', code));
        client.on('data', () => say('client received'));
        listener.on('secureConnection', (socket) => socket.on('error', () => undefined).end('data'));
        await new Promise((resolve) => client.on('close', resolve));
        listener.close();
        await once(listener, 'close');
      };
      await attempt(server(off), tls.connect, options);
      say('--');
      await attempt(server(options, tls.createServer), ktls.connect, off);
      `,
      { nodeArguments: preload, env: { KTLS: 'require' } },
    );
    expect(ended).toMatchObject(clean);
    const [byClient, byServer] = ended.stdout.split('--\n');
    expect(lines(byClient!)).toContain('client ERR_KTLS_CIPHER');
    expect(lines(byServer!)).toContain('server ERR_KTLS_CIPHER');
    expect(ended.stdout).not.toContain('received');
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

/** An exception of the application is its own: it is reported as such, and the connections go on. */
import { expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

describeKernel('an exception', () => {
  it("in a 'data' listener ends the process as Node has it", async () => {
    const ended = await runScript(`
      const { server: accepted, client } = await pair();
      accepted.write('hello');
      client.on('data', () => { throw new Error('of the application'); });
    `);
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('Error: of the application');
  });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    it(`in a 'data' listener loses nothing if it is caught: ${version}`, async () => {
      const ended = await runScript(
        `
        process.on('uncaughtException', (error) => say(error.message));
        const { version } = given;
        const { listener, server: accepted, client } =
          await pair({ minVersion: version, maxVersion: version });
        let text = '', thrown = 0;
        client.on('data', (data) => {
          text += data;
          if (text.includes('goodbye')) client.end();
          if (thrown++ < 3) throw new Error('caught');
        });
        const words = Array.from({ length: 20 }, (_, i) => 'word ' + i + ' ').concat('goodbye');
        for (const word of words) {
          accepted.write(word);
          await delay(5);
        }
        accepted.end();
        accepted.resume();
        listener.close();
        process.on('exit', () => say(text === words.join('')));
        `,
        { given: { version } },
      );
      expect(ended).toMatchObject({ ...clean, stdout: 'caught\ncaught\ncaught\ntrue\n' });
    });
  }

  for (const [who, event] of [
    ['client', 'secureConnect'],
    ['listener', 'secureConnection'],
    ['listener', 'keylog'],
    ['listener', 'newSession'],
  ] as const) {
    it(`in '${event}' of the ${who} leaves the connection working, and told of, if it is caught`, async () => {
      const ended = await runScript(
        `
        import { subscribe } from 'node:diagnostics_channel';
        const { who, event } = given;
        process.on('uncaughtException', (error) => say(error.message));
        let offloaded = 0;
        subscribe('ktls:offload', () => offloaded++);
        const exploding = (name, emitter) => {
          if (name === who) emitter.once(event, () => { throw new Error('caught'); });
        };
        const listener = server();
        listener.on('secureConnection', (socket) => {
          socket.on('data', (data) => socket.end(data));
          socket.on('end', () => listener.close());
        });
        exploding('listener', listener);
        const client = connect(await listening(listener));
        let text = '';
        client.on('data', (data) => (text += data));
        client.on('close', () => process.on('exit', () => say(text, offloaded)));
        client.write('echo');
        exploding('client', client);
        `,
        { given: { who, event } },
      );
      expect(ended).toMatchObject({ ...clean, stdout: 'caught\necho 2\n' });
    });
  }

  it("in 'tlsClientError' leaves nothing of the connection", async () => {
    const ended = await runScript(
      `
      process.on('uncaughtException', (error) => say(error.message));
      // CBC, which no kernel has.
      const refused = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA384' };
      const listener = server({ ...refused, mode: 'require' });
      listener.on('tlsClientError', () => { throw new Error('caught'); });
      const client = connect(await listening(listener), refused, tls.connect);
      client.on('error', () => undefined);
      client.on('close', () => listener.close(() => say('closed')));
      client.resume();
      `,
      { deadline: 40_000 },
    );
    expect(ended).toMatchObject({ ...clean, stdout: 'caught\nclosed\n' });
  });

  it('of one connection leaves the others alone', async () => {
    const ended = await runScript(`
      const one = await pair();
      const other = await pair();
      process.on('uncaughtException', (error) => {
        say(error.message);
        other.server.write('still here');
      });
      one.client.on('data', () => { throw new Error('caught'); });
      other.client.on('data', (data) => {
        say(data);
        process.exit();
      });
      one.server.write('x');
    `);
    expect(ended).toMatchObject({ ...clean, stdout: 'caught\nstill here\n' });
  });
});

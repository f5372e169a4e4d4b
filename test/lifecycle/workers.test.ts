/** Worker threads: each has its own loop, addon environment and end. */
import { expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';
import { stages } from './stages.js';

vi.setConfig(scriptTimeout);

describeKernel('worker threads', () => {
  it('can hold the two sides of a connection', async () => {
    const ended = await runScript(`
      const serving = startWorker(\`
        const listener = server();
        listener.on('secureConnection', (socket) => {
          say('server', socket.offload.offloaded);
          socket.pipe(socket);
          socket.on('end', () => listener.close());
        });
        parentPort.postMessage(await listening(listener));
      \`);
      const [port] = await once(serving, 'message');
      const asking = startWorker(\`
        const client = connect(workerData);
        let length = 0;
        client.end(Buffer.alloc(1 << 20, 'x'));
        client.on('secureConnect', () => say('client', client.offload.offloaded));
        client.on('data', (data) => (length += data.length));
        client.on('end', () => say('echoed', length));
      \`, port);
      const codes = await Promise.all([once(asking, 'exit'), once(serving, 'exit')]);
      say('exit', codes.flat().join(' '));
    `);
    expect(ended).toMatchObject(clean);
    expect(ended.stdout.split('\n').sort()).toEqual(
      ['', 'client true', 'echoed 1048576', 'exit 0 0', 'server true'].sort(),
    );
  });

  it('work beside the main thread, one after the other', async () => {
    const ended = await runScript(`
      const { server: accepted, client } = await pair();
      accepted.pipe(accepted);
      for (let i = 0; i < 3; i++) {
        const worker = startWorker(\`
          const { listener, server: accepted, client } = await pair();
          client.destroy();
          accepted.destroy();
          listener.close();
        \`);
        const [code] = await once(worker, 'exit');
        client.write('x');
        const [data] = await once(client, 'data');
        say(code, data);
      }
      process.exit();
    `);
    expect(ended).toMatchObject({ ...clean, stdout: '0 x\n'.repeat(3) });
  });

  for (const [stage, body] of Object.entries(stages)) {
    it(`can be terminated ${stage}`, async () => {
      const ended = await runScript(
        `
        const run = async () => {
          const worker = startWorker(
            'const reached = () => parentPort.postMessage("reached");' + given.body,
          );
          worker.on('error', (error) => say(error.stack));
          await once(worker, 'message');
          return worker.terminate();
        };
        // The first one's fds that stay are the process's (libuv's, V8's), not the connection's.
        await run();
        const before = sockets();
        say(await run(), await run());
        while (sockets() > before) await delay(10);
        // The process is healthy.
        const { listener, server: accepted, client } = await pair();
        accepted.write('fine');
        say((await once(client, 'data'))[0], client.offload.offloaded);
        client.destroy();
        accepted.destroy();
        listener.close();
        `,
        { given: { body } },
      );
      expect(ended).toMatchObject({ ...clean, stdout: '1 1\nfine true\n' });
    });
  }

  it('can be terminated by the other side of a connection that they hold', async () => {
    const ended = await runScript(`
      const listener = server();
      const port = await listening(listener);
      const worker = startWorker(\`
        const client = connect(workerData);
        client.on('error', () => undefined);
        client.resume();
        setInterval(() => client.write('x'), 1);
      \`, port);
      const [socket] = await once(listener, 'secureConnection');
      socket.on('error', () => undefined);
      await once(socket, 'data');
      say(await worker.terminate());
      socket.resume();
      await once(socket, 'close');
      listener.close();
      say('closed');
    `);
    expect(ended).toMatchObject({ ...clean, stdout: '1\nclosed\n' });
  });

  it('may call process.exit() with connections', async () => {
    const ended = await runScript(`
      const worker = startWorker(\`
        const { server: accepted, client } = await pair();
        client.on('data', () => process.exit(3));
        accepted.write('x');
      \`);
      say(await once(worker, 'exit'));
    `);
    expect(ended).toMatchObject({ ...clean, stdout: '3\n' });
  });
});

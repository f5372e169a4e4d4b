/** Worker threads: each has its own loop, addon environment and end. */
import { beforeAll, expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import {
  DEADLINE,
  type Running,
  clean,
  runScript,
  scriptTimeout,
  startScript,
} from '../support/script.js';
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
      // It flows by now, and may be closed before the worker is known to be gone.
      const closed = new Promise((resolve) => socket.once('close', resolve));
      say(await worker.terminate());
      await closed;
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

/** Has a worker reach a stage, again and again. */
const terminator = `
  const run = async (body) => {
    const worker = startWorker('const reached = () => parentPort.postMessage("reached");' + body);
    worker.on('error', (error) => say(error.stack));
    await once(worker, 'message');
    return worker.terminate();
  };
  // The first one's fds that stay are the process's (libuv's, V8's), not the connection's.
  await run('reached(); setInterval(() => undefined, 1000);');
  for await (const line of readline.createInterface(process.stdin)) {
    const { body } = JSON.parse(line);
    const before = sockets();
    const codes = [await run(body), await run(body)];
    while (sockets() > before) await delay(10);
    // The process is healthy.
    const { listener, server: accepted, client } = await pair();
    accepted.write('fine');
    say('left', ...codes, (await once(client, 'data'))[0], client.offload.offloaded);
    client.destroy();
    accepted.destroy();
    listener.close();
    await once(listener, 'close');
  }
`;

describeKernel('worker threads can be terminated', () => {
  let script: Running;
  beforeAll(() => {
    // Each stage has as long as a script has.
    script = startScript(terminator, { deadline: DEADLINE * Object.keys(stages).length });
  });

  for (const [stage, body] of Object.entries(stages)) {
    it(stage, async () => {
      script.tell(JSON.stringify({ body }));
      expect(await script.said('left')).toBe('1 1 fine true');
    });
  }

  it('and leave a process that ends by itself', async () => {
    expect(await script.finish()).toMatchObject(clean);
  });
});

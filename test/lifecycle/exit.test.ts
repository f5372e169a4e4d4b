/** A process can end at any moment, and ends by itself when there is nothing left to do. */
import { afterAll, expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript, startScript, scriptTimeout } from '../support/script.js';
import { limitTcpBuffers, narrow } from '../support/tcp-buffers.js';
import { stages } from './stages.js';

vi.setConfig(scriptTimeout);

const scratch = new Scratch();
afterAll(() => scratch.remove());

/** Both roles in one process: each event of interest comes to pass, the failed handshake last. */
const everyEvent = `
  const { who, event } = given;
  const exitOn = (name, emitter) => {
    if (name === who) emitter.on(event, () => process.exit(7));
  };
  const listener = server();
  listener.on('newSession', (id, session, done) => done());
  listener.on('tlsClientError', () => undefined);
  exitOn('listener', listener);
  listener.on('connection', (raw) => exitOn('raw', raw));
  listener.on('secureConnection', (socket) => {
    exitOn('server', socket);
    socket.on('error', () => undefined);
    // More than narrow buffers hold.
    socket.write(Buffer.alloc(1 << 20));
    socket.on('drain', () => socket.end());
    socket.resume();
  });
  const port = await listening(listener);
  const client = connect(port);
  exitOn('client', client);
  client.setTimeout(5);
  client.on('data', () => undefined);
  client.write('hello');
  await once(client, 'close');
  const broken = net.connect(port, '127.0.0.1', () => broken.end('this is no TLS'));
  broken.on('error', () => undefined);
  const refused = net.createServer((socket) => socket.destroy());
  const failing = connect(await listening(refused));
  exitOn('failing client', failing);
  failing.on('error', () => undefined);
`;

const events: [who: string, event: string][] = [
  ['listener', 'connection'],
  ['listener', 'keylog'],
  ['listener', 'newSession'],
  ['listener', 'secureConnection'],
  ['listener', 'tlsClientError'],
  ['raw', 'close'],
  ['server', 'drain'],
  ['server', 'data'],
  ['server', 'finish'],
  ['server', 'end'],
  ['server', 'close'],

  ['client', 'secureConnect'],
  ['client', 'data'],
  ['client', 'end'],
  ['client', 'finish'],
  ['client', 'close'],
  ['failing client', 'error'],
];

describeKernel('process.exit() ends the process', () => {
  for (const [who, event] of events) {
    it(`in '${event}' of the ${who}`, async (context) => {
      limitTcpBuffers(context, narrow);
      const ended = await runScript(everyEvent, { given: { who, event } });
      expect(ended).toMatchObject({ ...clean, code: 7 });
    });
  }

  for (const [stage, body] of Object.entries(stages)) {
    it(stage, async () => {
      const ended = await runScript(`const reached = () => process.exit(7);\n${body}`);
      expect(ended).toMatchObject({ ...clean, code: 7 });
    });
  }
});

describeKernel('a process ends by itself', () => {
  it('when its connections and its server are closed', async () => {
    const ended = await runScript(`
      const { listener, server: accepted, client } = await pair();
      client.end('request');
      accepted.end('answer');
      accepted.resume();
      client.resume();
      listener.close();
      say(client.offload.offloaded, accepted.offload.offloaded);
    `);
    expect(ended).toMatchObject({ ...clean, stdout: 'true true\n' });
  });

  it('after connections were destroyed', async () => {
    const ended = await runScript(`
      const { listener, server: accepted, client } = await pair();
      listener.close();
      client.destroy();
      accepted.destroy();
    `);
    expect(ended).toMatchObject(clean);
  });

  it('with all it wrote on the wire', async () => {
    const script = startScript(`
      const listener = server();
      listener.on('secureConnection', (socket) => {
        socket.end(Buffer.alloc(4 << 20, 'x'));
        listener.close();
      });
      say('port', await listening(listener));
    `);
    const reader = await runScript(
      `
      const client = connect(given.port);
      let length = 0;
      client.on('data', (data) => (length += data.length));
      client.on('end', () => say(length));
      `,
      { given: { port: Number(await script.said('port')) } },
    );
    expect(reader).toMatchObject({ ...clean, stdout: `${4 << 20}\n` });
    expect(await script.ended).toMatchObject(clean);
  });

  for (const when of ['once established', 'before they are connected']) {
    it(`although sockets are connected that were unreferenced ${when}`, async () => {
      const early = when !== 'once established';
      const ended = await runScript(`
        const listener = server();
        listener.unref();
        listener.on('secureConnection', (socket) => {
          socket.resume();
          socket.unref();
        });
        const client = connect(await listening(listener));
        if (${early}) client.unref();
        client.resume();
        // Keeps the process alive until all is established.
        const timer = setInterval(() => undefined, 1000);
        client.on('secureConnect', () => {
          if (!${early}) client.unref();
          setTimeout(() => clearInterval(timer), 50);
          say('secured');
        });
      `);
      expect(ended).toMatchObject({ ...clean, stdout: 'secured\n' });
    });
  }

  const carriers = {
    'the kernel': {},
    // CBC, which no kernel has.
    'node:tls': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA384' },
  };
  const sendings: [carrier: keyof typeof carriers, what: string, send: string][] = [
    ['the kernel', 'data', 'socket.end(Buffer.alloc(given.length))'],
    ['the kernel', 'a file', 'socket.sendFile(given.file).then(() => socket.end())'],
    ['node:tls', 'data', 'socket.end(Buffer.alloc(given.length))'],
    ['node:tls', 'a file', 'socket.sendFile(given.file).then(() => socket.end())'],
  ];
  for (const [carrier, what, send] of sendings) {
    it(`not before ${carrier} has sent ${what} of an unreferenced socket`, async (context) => {
      limitTcpBuffers(context, narrow);
      const length = 4 << 20;
      const file = scratch.write('file', Buffer.alloc(length));
      const reader = startScript(`
        const listener = server({}, tls.createServer);
        listener.on('secureConnection', (socket) => {
          let length = 0;
          socket.on('data', (data) => {
            length += data.length;
            socket.pause();
            setTimeout(() => socket.resume(), 1);
          });
          socket.on('end', () => {
            say('received', length);
            socket.end();
            listener.close();
          });
        });
        say('port', await listening(listener));
      `);
      const sent = await runScript(
        `
        const socket = connect(given.port, given.options);
        await once(socket, 'secureConnect');
        socket.resume();
        socket.unref();
        say(socket.offload.offloaded);
        ${send};
        `,
        {
          given: {
            port: Number(await reader.said('port')),
            options: carriers[carrier],
            length,
            file,
          },
        },
      );
      expect(sent).toMatchObject({ ...clean, stdout: `${carrier === 'the kernel'}\n` });
      expect(await reader.said('received')).toBe(String(length));
      expect(await reader.ended).toMatchObject(clean);
    });
  }

  it('not before a referenced socket that waits for data is closed', async () => {
    const ended = await runScript(`
      const { listener, server: accepted, client } = await pair();
      listener.unref();
      accepted.unref();
      accepted.resume();
      client.resume();
      process.on('exit', () => say('exit'));
      setTimeout(() => {
        say('closing');
        client.destroy();
        accepted.destroy();
      }, 200).unref();
    `);
    expect(ended).toMatchObject({ ...clean, stdout: 'closing\nexit\n' });
  });
});

describeKernel('SIGTERM', () => {
  it('kills a process with connections', async () => {
    const script = startScript(`
      const { server: accepted, client } = await pair();
      accepted.resume();
      client.resume();
      say('up');
    `);
    await script.said('up');
    script.process.kill('SIGTERM');
    expect(await script.ended).toMatchObject({ code: null, signal: 'SIGTERM', stderr: '' });
  });

  it('can be answered by closing everything in good order', async () => {
    const script = startScript(`
      const { listener, server: accepted, client } = await pair();
      accepted.resume();
      client.on('data', (data) => say(data));
      client.on('end', () => say('end', client.closeNotifyReceived));
      process.once('SIGTERM', () => {
        accepted.end('goodbye');
        listener.close();
      });
      say('up');
    `);
    await script.said('up');
    script.process.kill('SIGTERM');
    expect(await script.ended).toMatchObject({ ...clean, stdout: 'up\ngoodbye\nend true\n' });
  });
});

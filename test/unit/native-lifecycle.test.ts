import { describe, expect, test } from 'vitest';
import { type Ended, runAlone, script } from '../support/native.js';

const clean = (ended: Ended): void =>
  expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });

describe('the event loop', () => {
  test('does not wait for a channel that is not referenced', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      unrefAll(peer, socket);
      new Channel(fd, () => {});
    `);
    clean(ended);
  });

  test('waits for a referenced channel until it is closed', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      unrefAll(peer, socket);
      const channel = new Channel(fd, () => {});
      channel.ref();
      setTimeout(() => channel.close(), 50).unref();
      process.on('exit', () => console.log(channel.write(Buffer.from('x'), 0)));
    `);
    clean(ended);
    expect(ended.stdout).toBe('-9\n');
  });

  test('waits for a referenced channel until it is unreferenced', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      unrefAll(peer, socket);
      const channel = new Channel(fd, () => {});
      channel.ref();
      channel.ref(); // counts once
      setTimeout(() => { console.log('now'); channel.unref(); }, 50).unref();
    `);
    clean(ended);
    expect(ended.stdout).toBe('now\n');
  });

  test('waits for the last of several referenced channels', async () => {
    const ended = await runAlone(`
      const pairs = await Promise.all([pair(), pair()]);
      const channels = pairs.map(({ fd, peer, socket }) => {
        unrefAll(peer, socket);
        const channel = new Channel(fd, () => {});
        channel.ref();
        return channel;
      });
      setTimeout(() => { console.log('first'); channels[0].close(); }, 20).unref();
      setTimeout(() => { console.log('second'); channels[1].close(); }, 60).unref();
    `);
    clean(ended);
    expect(ended.stdout).toBe('first\nsecond\n');
  });

  test('serves channels that are not referenced as long as it lives', async () => {
    const ended = await runAlone(`
      const { fd } = await pair();
      const channel = new Channel(fd, () => { console.log('ready'); process.exit(); });
    `);
    clean(ended);
    expect(ended.stdout).toBe('ready\n');
  });
});

test('an open channel without any reference in JavaScript is not collected', async () => {
  const ended = await runAlone(`
    require('node:v8').setFlagsFromString('--expose-gc');
    const gc = require('node:vm').runInNewContext('gc');
    const { fd, peer } = await pair();
    new Channel(fd, (events) => { if (events & READ) { console.log('heard'); process.exit(); } });
    for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate); }
    peer.write('x');
  `);
  clean(ended);
  expect(ended.stdout).toBe('heard\n');
});

test('closed channels are collected', async () => {
  const ended = await runAlone(`
    require('node:v8').setFlagsFromString('--expose-gc');
    const gc = require('node:vm').runInNewContext('gc');
    const { fd, peer, socket } = await pair();
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    for (let i = 0; i < 1000; i++) {
      const channel = new Channel(fd, () => {});
      registry.register(channel, i);
      channel.close();
    }
    for (let i = 0; i < 1000 && collected < 990; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    console.log(collected >= 990);
    peer.destroy(); socket.destroy();
  `);
  clean(ended);
  expect(ended.stdout).toBe('true\n');
});

describe('an environment that ends with live channels is clean', () => {
  test('at the end of the program', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      unrefAll(peer, socket);
      for (let i = 0; i < 3; i++) {
        const more = await pair();
        unrefAll(more.peer, more.socket);
        new Channel(more.fd, () => {});
      }
    `);
    clean(ended);
  });

  test('by process.exit() in a callback', async () => {
    const ended = await runAlone(`
      const { fd } = await pair();
      new Channel(fd, () => process.exit(7)).ref();
    `);
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  test('with bytes coming in all the while', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      new Channel(fd, () => {}).ref();
      const flood = () => { peer.write(Buffer.alloc(1000)); setImmediate(flood); };
      flood();
      setTimeout(() => process.exit(), 30);
    `);
    clean(ended);
  });

  test('when channels are used in an exit handler', async () => {
    const ended = await runAlone(`
      const { fd, peer, socket } = await pair();
      const channel = new Channel(fd, () => {});
      channel.ref();
      process.on('exit', () => {
        channel.readRecord();
        channel.close();
        new Channel(fd, () => {}).ref();
      });
      process.exit();
    `);
    clean(ended);
  });
});

/** A worker whose source is `body`; the main thread goes on with `main`, which may use `worker`. */
const withWorker = (body: string, main: string): string => `
  const source = ${JSON.stringify(script(body))};
  const start = () => new Worker(source, { eval: true, stdout: false });
  ${main}
`;

const BUSY = `
  const pairs = await Promise.all([pair(), pair(), pair()]);
  for (const { fd, peer } of pairs) {
    const channel = new Channel(fd, () => { while (typeof channel.readRecord() !== 'number'); });
    channel.ref();
    setInterval(() => peer.write('GET'), 1);
  }
  parentPort.postMessage('up');
`;

describe('a worker', () => {
  test('has a set of its own, on its own loop', async () => {
    const ended = await runAlone(
      withWorker(
        `
        const { fd, peer, socket } = await pair();
        const channel = new Channel(fd, (events) => {
          if (!(events & READ)) return;
          parentPort.postMessage(Buffer.from(channel.readRecord()).toString());
          channel.close(); peer.destroy(); socket.destroy();
        });
        channel.ref();
        peer.write('GET');
        `,
        `
        const { fd, peer, socket } = await pair();
        const channel = new Channel(fd, () => {});
        channel.ref();
        const worker = start();
        worker.on('message', console.log);
        const [code] = await once(worker, 'exit');
        console.log('exit', code);
        channel.close(); peer.destroy(); socket.destroy();
        `,
      ),
    );
    clean(ended);
    expect(ended.stdout).toBe('GET\nexit 0\n');
  });

  test('may be terminated with live channels, over and over', async () => {
    const ended = await runAlone(
      withWorker(
        BUSY,
        `
        for (let i = 0; i < 12; i++) {
          const worker = start();
          await once(worker, 'message');
          await new Promise((resolve) => setTimeout(resolve, i));
          console.log(await worker.terminate());
        }
        `,
      ),
    );
    clean(ended);
    expect(ended.stdout).toBe('1\n'.repeat(12));
  });

  test('may be terminated at any moment of its start', async () => {
    const ended = await runAlone(
      withWorker(
        BUSY,
        `
        for (let i = 0; i < 25; i++) {
          const worker = start();
          await new Promise((resolve) => setTimeout(resolve, i * 4));
          await worker.terminate();
        }
        `,
      ),
    );
    clean(ended);
  });

  test('may be terminated in the middle of a callback that never ends', async () => {
    const ended = await runAlone(
      withWorker(
        `
        const { fd } = await pair();
        new Channel(fd, () => { parentPort.postMessage('in'); for (;;); }).ref();
        `,
        `
        const worker = start();
        await once(worker, 'message');
        console.log(await worker.terminate());
        `,
      ),
    );
    clean(ended);
    expect(ended.stdout).toBe('1\n');
  });

  test('may call process.exit() in a callback', async () => {
    const ended = await runAlone(
      withWorker(
        `
        const pairs = await Promise.all([pair(), pair()]);
        for (const { fd } of pairs) new Channel(fd, () => process.exit(3)).ref();
        `,
        `
        const worker = start();
        console.log((await once(worker, 'exit'))[0]);
        `,
      ),
    );
    clean(ended);
    expect(ended.stdout).toBe('3\n');
  });

  test('reports an exception of a callback as its error event', async () => {
    const ended = await runAlone(
      withWorker(
        `
        const { fd } = await pair();
        new Channel(fd, () => { throw new Error('in the worker'); }).ref();
        `,
        `
        const worker = start();
        // Both may come in the same turn.
        const exited = new Promise((resolve) => worker.once('exit', resolve));
        const [error] = await once(worker, 'error');
        console.log(error.message, await exited);
        `,
      ),
    );
    clean(ended);
    expect(ended.stdout).toBe('in the worker 1\n');
  });

  test('leaks no fd', async () => {
    const ended = await runAlone(
      withWorker(
        BUSY,
        `
        const { readdirSync } = require('node:fs');
        const run = async () => {
          const worker = start();
          await once(worker, 'message');
          await worker.terminate();
          return readdirSync('/proc/self/fd').length;
        };
        const first = await run();
        let last;
        for (let i = 0; i < 5; i++) last = await run();
        console.log(last - first);
        `,
      ),
    );
    clean(ended);
    expect(Number(ended.stdout)).toBeLessThanOrEqual(0);
  });
});

describe('a stream that is fed while data floods in', () => {
  // The peer is a process of its own: it floods on whatever becomes of this one.
  const FLOOD = `
    const { spawn } = require('node:child_process');
    async function fed(onData) {
      const listener = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const flood = "const s = require('node:net').connect(" + listener.address().port +
        ", '127.0.0.1'); s.on('error', () => process.exit()); s.on('close', () => process.exit());" +
        "(function go() { while (s.write(Buffer.alloc(65536))); s.once('drain', go); })();";
      spawn(process.execPath, ['-e', flood], { stdio: 'ignore' }).unref();
      const [socket] = await once(listener, 'connection');
      listener.close();
      const handle = socket._handle;
      const channel = new Channel(handle.fd, () => {});
      const { readStart, readStop } = Object.getPrototypeOf(handle);
      readStart.call(handle);
      const found = channel.feedStream(() => false, 1);
      readStop.call(handle);
      if (found !== 0) throw new Error('no stream: ' + found);
      handle.readStart = () => (channel.startReading(), 0);
      handle.readStop = () => (channel.stopReading(), 0);
      channel.ref();
      socket.on('data', onData).resume();
      socket.read(0);
    }
  `;

  test('does not outlive process.exit() in its reader', async () => {
    const ended = await runAlone(`${FLOOD}
      let parts = 0;
      await fed(() => { if (++parts === 20) process.exit(5); });
    `);
    expect(ended).toMatchObject({ code: 5, signal: null, stderr: '' });
  });

  test('goes on behind what its reader throws', async () => {
    const ended = await runAlone(`${FLOOD}
      let thrown = 0;
      process.on('uncaughtException', () => { if (++thrown === 50) { console.log('50'); process.exit(); } });
      await fed(() => { throw new Error('of the reader'); });
    `);
    clean(ended);
    expect(ended.stdout).toBe('50\n');
  });

  test('is gone with a worker that is terminated, or exits within its reader', async () => {
    const body = script(`${FLOOD}
      let parts = 0;
      await fed(() => {
        if (++parts === 20) {
          parentPort.postMessage('floods');
          if (workerData) process.exit(0);
        }
      });
    `);
    const ended = await runAlone(`
      for (let i = 0; i < 6; i++) {
        const worker = new Worker(${JSON.stringify(body)}, { eval: true, workerData: i % 2 });
        await once(worker, 'message');
        await worker.terminate();
      }
      console.log('done');
    `);
    clean(ended);
    expect(ended.stdout).toBe('done\n');
  });
});

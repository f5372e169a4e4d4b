/** A socket under kernel TLS is a net.Socket to whoever uses it: flow, ends, timeouts, options, errors. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ConnectionOptions } from 'node:tls';
import { expect, it } from 'vitest';
import type { OffloadOptions } from '../../lib/index.js';
import {
  type AnySocket,
  type Pair,
  type PairOptions,
  connectPair,
  connectTo,
  isOffloaded,
  listen,
  readAll,
  readExactly,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript } from '../support/script.js';
import { TcpEnd } from '../support/tcp-state.js';
import { Witness } from '../support/witness.js';

const large = Buffer.alloc(1_000_000, 'something large');

/** One test with our client and one with our server; the other end is node:tls. */
function forEach(
  name: string,
  body: (ours: AnySocket, others: AnySocket) => Promise<void>,
  { serverOptions = {}, clientOptions = {} }: PairOptions = {},
): void {
  for (const role of ['server', 'client'] as const) {
    it(`${name} (${role})`, async () => {
      await using pair: Pair = await connectPair({
        server: role === 'server' ? 'ktls' : 'node',
        client: role === 'client' ? 'ktls' : 'node',
        serverOptions,
        clientOptions,
      });
      const [ours, others] =
        role === 'server' ? [pair.server, pair.client] : [pair.client, pair.server];
      expect(isOffloaded(ours)).toBe(true);
      await body(ours, others);
    });
  }
}

const halfOpen: PairOptions = {
  serverOptions: { allowHalfOpen: true },
  clientOptions: { allowHalfOpen: true } as ConnectionOptions,
};

/** Writes until nothing moves any more: the reader has stopped, and all buffers are full. */
async function jam(writer: AnySocket): Promise<number> {
  const end = new TcpEnd(writer);
  let written = 0;
  do {
    writer.write(large);
    written += large.length;
    while (writer.writableLength > 0 && !(await end.isFull())) await sleep(1);
  } while (writer.writableLength === 0);
  return written;
}

describeKernel('reading', () => {
  forEach('stops at pause and goes on at resume', async (ours, others) => {
    const witness = new Witness(ours);
    others.write('a');
    await witness.received(1);
    ours.pause();
    others.write('b');
    await sleep(50);
    expect(witness.data).toBe('a');
    ours.resume();
    expect(await witness.received(2)).toBe('ab');
  });

  forEach('that is paused stops the peer', async (ours, others) => {
    ours.pause();
    const written = await jam(others);
    expect(others.writableLength).toBeGreaterThan(0);
    expect((await readExactly(ours, written)).length).toBe(written);
  });

  for (const side of ['node', 'ktls'] as const) {
    it(`of a server that pauses what it accepts sees an end without data (${side})`, async () => {
      await using pair = await connectPair({
        server: side,
        client: 'node',
        serverOptions: { pauseOnConnect: true, allowHalfOpen: true },
      });
      expect(pair.server.isPaused()).toBe(true);
      const ended = once(pair.server, 'end');
      pair.client.end();
      await ended;
      expect(pair.server.isPaused()).toBe(true);
    });
  }

  forEach('by async iteration gets everything', async (ours, others) => {
    others.end(large);
    expect((await readAll(ours)).equals(large)).toBe(true);
  });

  forEach('keeps an encoding whole over record boundaries', async (ours, others) => {
    const text = 'zwölf Boxkämpfer € 😀';
    ours.setEncoding('utf8');
    let received = '';
    ours.on('data', (chunk: string) => (received += chunk));
    for (const byte of Buffer.from(text)) others.write(Buffer.of(byte));
    others.end();
    await once(ours, 'end');
    expect(received).toBe(text);
  });

  forEach('counts the plaintext in bytesRead', async (ours, others) => {
    others.end(large);
    await readAll(ours);
    expect(ours.bytesRead).toBe(large.length);
  });

  it('goes into the buffer of the onread option', async () => {
    const { listener, port } = await listen('node');
    listener.on('secureConnection', (socket) => socket.end(large));
    const buffer = Buffer.alloc(1000);
    const chunks: Buffer[] = [];
    const onread = {
      buffer,
      callback(length: number, target: Uint8Array): boolean {
        expect(target).toBe(buffer);
        chunks.push(Buffer.from(target.subarray(0, length)));
        return true;
      },
    };
    const client = connectTo(port, 'ktls', { onread } as ConnectionOptions & OffloadOptions);
    await once(client, 'close');
    listener.close();
    expect(Buffer.concat(chunks).equals(large)).toBe(true);
  });
});

describeKernel('writing', () => {
  forEach('says when the buffer is full and when it is drained', async (ours, others) => {
    others.pause();
    const written = await jam(ours);
    expect(ours.write('.')).toBe(false);
    expect(ours.writableNeedDrain).toBe(true);
    const drained = once(ours, 'drain');
    others.resume();
    await drained;
    expect(ours.writableLength).toBe(0);
    expect(ours.bytesWritten).toBe(written + 1);
  });

  forEach('counts the plaintext in bytesWritten', async (ours, others) => {
    ours.write('abc');
    ours.write('ü');
    ours.end(Buffer.alloc(10));
    await readAll(others);
    expect(ours.bytesWritten).toBe(15);
  });

  forEach('that is corked goes out in order at uncork', async (ours, others) => {
    const witness = new Witness(others);
    ours.cork();
    ours.write('a');
    ours.write(Buffer.from('b'));
    ours.write('c', 'latin1');
    ours.uncork();
    expect(await witness.received(3)).toBe('abc');
  });

  forEach('calls back once for each write, in order', async (ours, others) => {
    others.resume();
    const called: number[] = [];
    const last = new Promise<void>((resolve) => {
      for (let i = 0; i < 50; i++) {
        ours.write(Buffer.alloc(1 + i * 100), () => {
          called.push(i);
          if (i === 49) resolve();
        });
      }
    });
    await last;
    expect(called).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  forEach('after end is an error', async (ours) => {
    const witness = new Witness(ours);
    ours.end();
    ours.write('late');
    await witness.until('error');
    expect(witness.error!.code).toBe('ERR_STREAM_WRITE_AFTER_END');
  });

  forEach('to a peer that has reset reports the error to its callback', async (ours, others) => {
    ours.on('error', () => undefined);
    others.pause();
    await jam(ours);
    const failed = new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
      ours.write('never arrives', resolve);
    });
    others.on('error', () => undefined);
    // node:tls has no reset of its own; unread data makes the kernel send one.
    others.destroy();
    expect(await failed).toMatchObject({
      code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) as string,
    });
  });
});

describeKernel('a pipeline', () => {
  forEach(
    'out of the socket and into it is an echo',
    async (ours, others) => {
      const echoed = readAll(others);
      others.end(large);
      await pipeline(ours, new PassThrough(), ours);
      expect((await echoed).equals(large)).toBe(true);
    },
    halfOpen,
  );

  forEach('from a slow source arrives whole', async (ours, others) => {
    const received = readAll(others);
    const source = async function* () {
      for (let i = 0; i < 20; i++) {
        await sleep(1);
        yield Buffer.alloc(5000, i);
      }
    };
    await pipeline(Readable.from(source()), ours as Writable);
    expect((await received).length).toBe(100_000);
  });

  forEach('that fails destroys the socket', async (ours, others) => {
    others.on('error', () => undefined);
    const failing = Readable.from(
      (function* () {
        yield 'something';
        throw new Error('source failed');
      })(),
    );
    await expect(pipeline(failing, ours as Writable)).rejects.toThrow('source failed');
    expect(ours.destroyed).toBe(true);
  });
});

describeKernel('the end of the peer', () => {
  forEach('ends the socket too', async (ours, others) => {
    const witness = new Witness(ours);
    others.end();
    others.resume();
    expect(await witness.until('close')).toEqual(['end', 'close']);
    expect(ours.writableFinished).toBe(true);
  });

  forEach(
    'leaves the socket writable with allowHalfOpen',
    async (ours, others) => {
      const witness = new Witness(ours);
      const received = readAll(others);
      others.end();
      await witness.until('end');
      expect(ours.writable).toBe(true);
      ours.end('afterwards');
      expect((await received).toString()).toBe('afterwards');
    },
    halfOpen,
  );
});

describeKernel('destroying', () => {
  forEach('closes without an error, and the peer sees an end', async (ours, others) => {
    // A ticket that comes to a socket that is closed is answered with a reset.
    others.write('behind the tickets');
    await readExactly(ours, 18);
    const witness = new Witness(ours);
    const peer = new Witness(others);
    ours.destroy();
    expect(await witness.until('close')).toEqual(['close']);
    expect(await peer.until('close')).toEqual(['end', 'close']);
  });

  forEach('with an error reports it', async (ours) => {
    const witness = new Witness(ours);
    ours.destroy(new Error('for a reason'));
    expect(await witness.until('close')).toEqual(['error', 'close']);
    expect(witness.error!.message).toBe('for a reason');
  });

  forEach('by resetAndDestroy resets the connection', async (ours, others) => {
    const witness = new Witness(ours);
    const peer = new Witness(others);
    // Up to Node 22 libuv takes a reset that comes along with data for an end.
    ours.write('all is read');
    await peer.received(11);
    ours.resetAndDestroy();
    expect(await peer.until('close')).toEqual(['all is read', 'error', 'close']);
    expect(peer.error!.code).toBe('ECONNRESET');
    expect(await witness.until('close')).toEqual(['close']);
  });

  it('by an AbortSignal is an AbortError', async () => {
    const { listener, port } = await listen('node');
    // Its tickets may come to a socket that is closed.
    listener.on('secureConnection', (socket) => socket.on('error', () => undefined));
    const abort = new AbortController();
    const client = connectTo(port, 'ktls', {
      signal: abort.signal,
    } as ConnectionOptions & OffloadOptions);
    const witness = new Witness(client);
    await once(client, 'secureConnect');
    abort.abort();
    expect(await witness.until('close')).toEqual(['error', 'close']);
    expect(witness.error!.name).toBe('AbortError');
    listener.close();
  });
});

describeKernel('a timeout', () => {
  forEach('is emitted when nothing moves', async (ours) => {
    ours.setTimeout(30);
    await once(ours, 'timeout');
  });

  for (const what of ['reads', 'writes'] as const) {
    forEach(`is put off by ${what}`, async (ours, others) => {
      ours.resume();
      others.resume();
      // Far more than a pause between two of the writes, far less than all of them.
      const idle = 2000;
      let timeouts = 0;
      let last = performance.now();
      const moves = (): void => void (last = performance.now());
      if (what === 'reads') ours.on('data', moves);
      // One that comes so long after the last move is right: then the whole machine has paused.
      ours.on('timeout', () => (timeouts += performance.now() - last < idle - 100 ? 1 : 0));
      ours.setTimeout(idle);
      for (let i = 0; i < 30; i++) {
        if (what === 'writes') moves();
        (what === 'reads' ? others : ours).write('.');
        await sleep(100);
      }
      expect(timeouts).toBe(0);
    });
  }
});

describeKernel('what a socket knows of itself', () => {
  forEach('is both of its addresses', async (ours, others) => {
    expect(ours.remoteAddress).toBe('127.0.0.1');
    expect(ours.localAddress).toBe('127.0.0.1');
    expect(ours.remoteFamily).toBe('IPv4');
    expect(ours.remotePort).toBe(others.localPort);
    expect(ours.localPort).toBe(others.remotePort);
    expect(ours.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: ours.localPort });
    return Promise.resolve();
  });

  forEach(
    'can be changed by setNoDelay and setKeepAlive, which return it',
    async (ours, others) => {
      expect(ours.setNoDelay(true)).toBe(ours);
      expect(ours.setKeepAlive(true, 1000)).toBe(ours);
      ours.end('still works');
      expect((await readAll(others)).toString()).toBe('still works');
    },
  );
});

describeKernel('before the connection is secured', () => {
  it('writes are kept in order', async () => {
    const { listener, port } = await listen('ktls');
    const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
    const client = connectTo(port, 'ktls');
    client.write('a');
    client.write('b');
    client.once('secureConnect', () => client.end('d'));
    client.write('c');
    const [server] = await accepted;
    expect((await readAll(server)).toString()).toBe('abcd');
    listener.close();
  });

  it('end() is an end as soon as it is', async () => {
    const { listener, port } = await listen('ktls');
    const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
    const client = connectTo(port, 'ktls');
    client.end('only this');
    const [server] = await accepted;
    expect((await readAll(server)).toString()).toBe('only this');
    expect(server).toMatchObject({ closeNotifyReceived: true });
    listener.close();
  });

  it('destroy() fails what was written', async () => {
    const { listener, port } = await listen('ktls');
    const client = connectTo(port, 'ktls');
    const witness = new Witness(client);
    const failed = new Promise((resolve) => client.write('never', resolve));
    client.destroy();
    expect(await failed).toBeInstanceOf(Error);
    expect(await witness.until('close')).toEqual(['close']);
    listener.close();
  });
});

describeKernel('a process', () => {
  it('lives as long as a referenced one waits for data', async () => {
    const ended = await runScript(`
      const { listener, client, server: accepted } = await pair();
      listener.close(); listener.unref();
      client.unref(); accepted.unref();
      client.ref();
      client.on('data', (data) => { say(String(data)); client.destroy(); accepted.destroy(); });
      setTimeout(() => accepted.write('waited'), 200).unref();`);
    expect(ended).toMatchObject({ ...clean, stdout: 'waited\n' });
  });
});

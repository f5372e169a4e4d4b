import { once } from 'node:events';
import { AsyncLocalStorage, executionAsyncId } from 'node:async_hooks';
import { openSync, closeSync } from 'node:fs';
import { connect, type AddressInfo, createServer } from 'node:net';
import { constants } from 'node:os';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Ready, receivedLength, receivedType } from '../../lib/kernel/binding.js';
import { Link, fdOf, native, runAlone, tcpPair } from '../support/native.js';
import { TcpEnd } from '../support/tcp-state.js';

const { EAGAIN, EBADF, ENOENT, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPIPE, ECONNRESET } =
  constants.errno;
const TCP_CLOSE = 7;
const NOTHING = new Uint8Array(0);

/** Writes until the send buffer is full. */
function fill(link: Link): number {
  const chunk = Buffer.alloc(65536, 'x');
  for (let total = 0; ;) {
    const taken = link.channel.write(chunk, 0);
    if (taken === -EAGAIN) return total;
    expect(taken).toBeGreaterThan(0);
    total += taken;
  }
}

describe('readiness', () => {
  test('a new channel hears at once that it can write', async () => {
    await using link = await Link.open();
    expect((await link.seen(Ready.WRITE)) & Ready.READ).toBe(0);
  });

  test('bytes that came before the channel was made are told', async () => {
    const { peer, socket } = await tcpPair();
    peer.write('early');
    await new TcpEnd(peer).delivered();
    const heard = await new Promise<number>((resolve) => {
      const channel = new (native().Channel)(fdOf(socket), (events) => {
        channel.close();
        resolve(events);
      });
      channel.ref();
    });
    expect(heard & Ready.READ).toBe(Ready.READ);
    peer.destroy();
    socket.destroy();
  });

  test('unread bytes are told once and not again: the set is edge-triggered', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.from('x'));
    link.events.length = 0;
    await wait(30);
    expect(link.events).toEqual([]);
  });

  test('a half-close by the peer is told', async () => {
    await using link = await Link.open();
    link.peer.end();
    expect((await link.seen(Ready.PEER_HALF_CLOSED)) & Ready.READ).toBe(Ready.READ);
  });

  test('a reset is told, and takeError reads it once', async () => {
    await using link = await Link.open();
    link.peer.resetAndDestroy();
    await link.seen(Ready.ERROR | Ready.HANGUP);
    expect(link.channel.takeError()).toBe(-ECONNRESET);
    expect(link.channel.takeError()).toBe(0);
    expect(link.channel.tcpState()).toBe(TCP_CLOSE);
  });

  test('a full send buffer answers EAGAIN, and room again is told', async () => {
    await using link = await Link.open();
    await link.seen(Ready.WRITE);
    link.peer.pause();
    let sent = fill(link);
    let got = 0;
    const roomy = link.next(Ready.WRITE);
    link.peer.on('data', (data) => (got += data.length)).resume();
    await roomy;
    sent += link.channel.write(Buffer.from('more'), 0);
    while (got < sent) await wait(1);
    expect(got).toBe(sent);
  });

  test('more ready sockets than one batch holds are all served', async () => {
    const links = await Promise.all(Array.from({ length: 150 }, () => Link.open()));
    await Promise.all(links.map((link) => link.deliver(Buffer.from('x'))));
    await Promise.all(links.map((link) => link[Symbol.asyncDispose]()));
  });
});

describe('callbacks', () => {
  test('see this as the channel and one number', async () => {
    const { peer, socket } = await tcpPair();
    const seen = await new Promise<{ self: unknown; values: unknown[] }>((resolve) => {
      const channel = new (native().Channel)(fdOf(socket), function (
        this: unknown,
        ...values: unknown[]
      ) {
        resolve({ self: this, values });
      });
      channel.ref();
    });
    expect(seen.self).toBeInstanceOf(native().Channel);
    expect(seen.values).toEqual([Ready.WRITE]);
    (seen.self as { close(): void }).close();
    peer.destroy();
    socket.destroy();
  });

  test('run in an async context of their own, and in the storage of their making', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: { store: string | undefined; id: number }[] = [];
    const link = await storage.run('mine', () =>
      Link.open(() => seen.push({ store: storage.getStore(), id: executionAsyncId() })),
    );
    await link.deliver(Buffer.from('x'));
    await link[Symbol.asyncDispose]();
    expect(seen[0]?.store).toBe('mine');
    expect(seen[0]?.id).toBeGreaterThan(0);
  });

  test('have their ticks and microtasks run before the next callback', async () => {
    const order: string[] = [];
    const note = (name: string) => () => {
      if (order.length >= 6) return;
      order.push(name);
      process.nextTick(() => order.push(`${name} tick`));
      void Promise.resolve().then(() => order.push(`${name} microtask`));
    };
    await using one = await Link.open(note('a'));
    await using two = await Link.open(note('b'));
    await Promise.all([one.seen(Ready.WRITE), two.seen(Ready.WRITE)]);
    await turn();
    const grouped = order.map((entry) => entry[0]).join('');
    expect(['aaabbb', 'bbbaaa']).toContain(grouped);
  });

  test('may close other channels of the same batch, which then stay silent', async () => {
    const links: Link[] = [];
    const fired: number[] = [];
    const both = [0, 1].map((index) =>
      Link.open((events) => {
        if ((events & Ready.READ) === 0) return;
        fired.push(index);
        for (const link of links) link.channel.close();
      }),
    );
    links.push(...(await Promise.all(both)));
    await Promise.all(links.map((link) => link.seen(Ready.WRITE)));
    for (const link of links) link.peer.write('x');
    await wait(30);
    expect(fired).toHaveLength(1);
    await Promise.all(links.map((link) => link[Symbol.asyncDispose]()));
  });

  test('that throw become uncaughtException, and the other channels are served', async () => {
    const { code, stdout, stderr } = await runAlone(`
      process.on('uncaughtException', (error) => console.log('caught', error.message));
      const pairs = await Promise.all([pair(), pair(), pair()]);
      const served = new Set();
      pairs.forEach(({ fd, peer, socket }, index) => {
        const channel = new Channel(fd, () => {
          channel.close(); peer.destroy(); socket.destroy();
          console.log('served', index);
          process.nextTick(() => console.log('tick', index));
          throw new Error('of ' + index);
        });
        channel.ref();
      });
    `);
    expect(stderr).toBe('');
    const lines = stdout.trim().split('\n').sort();
    expect(lines).toEqual(
      ['caught of', 'served', 'tick'].flatMap((line) => [0, 1, 2].map((i) => `${line} ${i}`)),
    );
    expect(code).toBe(0);
  });

  test('that throw with nobody listening end the process with the error', async () => {
    const { code, stderr } = await runAlone(`
      const { fd } = await pair();
      new Channel(fd, () => { throw new Error('fatal here'); }).ref();
    `);
    expect(code).toBe(1);
    expect(stderr).toContain('Error: fatal here');
  });

  test('may make new channels', async () => {
    const { peer, socket } = await tcpPair();
    let inner: Promise<void> | undefined;
    await using link = await Link.open(() => {
      inner ??= new Promise((resolve) => {
        const channel = new (native().Channel)(fdOf(socket), () => {
          channel.close();
          resolve();
        });
        channel.ref();
      });
    });
    await link.seen(Ready.WRITE);
    await inner;
    peer.destroy();
    socket.destroy();
  });
});

describe('close', () => {
  test('is idempotent, and every method answers EBADF after it', async () => {
    await using link = await Link.open();
    const { channel } = link;
    channel.close();
    channel.close();
    channel.ref();
    channel.unref();
    expect(channel.readRecord()).toBe(-EBADF);
    expect(channel.write(Buffer.from('x'), 0)).toBe(-EBADF);
    expect(channel.attachUlp()).toBe(-EBADF);
    expect(channel.installKeys(1, 0x0304, 51, new Uint8Array(36))).toBe(-EBADF);
    expect(channel.receive(new Uint8Array(1), 0)).toBe(-EBADF);
    expect(channel.sendRecord(21, NOTHING)).toBe(-EBADF);
    expect(channel.sendSequence(0x0304, 51)).toBe(-EBADF);
    expect(channel.keepReceiveKey(0x0304, 51)).toBe(-EBADF);
    expect(channel.bytesInTcp()).toBe(-EBADF);
    expect(channel.takeError()).toBe(-EBADF);
    expect(channel.tcpState()).toBe(-EBADF);
    expect(channel.tlsMode()).toBe(-EBADF);
  });

  test('leaves the socket as it was: Node may read it afterwards', async () => {
    await using link = await Link.open();
    await link.seen(Ready.WRITE);
    link.channel.close();
    link.peer.write('for node');
    const [data] = (await once(link.socket.resume(), 'data')) as [Buffer];
    expect(data.toString()).toBe('for node');
  });

  test('allows a new channel on the same fd', async () => {
    await using link = await Link.open();
    link.channel.close();
    const again = new (native().Channel)(fdOf(link.socket), () => undefined);
    expect(again.write(Buffer.from('x'), 0)).toBe(1);
    again.close();
  });

  test('a channel whose fd was closed and used anew by another is dead, and harmless', async () => {
    const { peer, socket } = await tcpPair();
    const fd = fdOf(socket);
    const stale = new (native().Channel)(fd, () => undefined);
    stale.ref();
    // The mistake that this is about: the socket goes first. (closed, and with it the number free)
    socket.destroy();
    peer.destroy();
    await once(socket, 'close');
    const spare: number[] = [];
    let next: Awaited<ReturnType<typeof tcpPair>>;
    for (;;) {
      next = await tcpPair();
      if (fdOf(next.socket) === fd) break;
      if (fdOf(next.peer) === fd) {
        next = { peer: next.socket, socket: next.peer };
        break;
      }
      spare.push(openSync('/dev/null', 'r'));
      if (spare.length > 50) throw new Error(`fd ${fd} was not used again`);
    }
    const heard = new Promise<number>((resolve) => {
      const channel = new (native().Channel)(fd, (events) => {
        if ((events & Ready.READ) === 0) return;
        resolve(events);
        channel.close();
      });
      channel.ref();
    });
    expect(stale.write(Buffer.from('x'), 0)).toBe(-EBADF);
    stale.close();
    next.peer.write('x');
    expect((await heard) & Ready.READ).toBe(Ready.READ);
    next.peer.destroy();
    next.socket.destroy();
    for (const each of spare) closeSync(each);
  });
});

describe('system calls on plain TCP', () => {
  test('receive names no record type', async () => {
    await using link = await Link.open();
    await link.deliver(Buffer.from('hello'));
    const target = new Uint8Array(16);
    const result = link.channel.receive(target, 4);
    expect({ type: receivedType(result), length: receivedLength(result) }).toEqual({
      type: 0,
      length: 5,
    });
    expect(Buffer.from(target.subarray(4, 9)).toString()).toBe('hello');
    expect(link.channel.receive(target, 0)).toBe(-EAGAIN);
  });

  test('receive answers 0 at the end of the stream', async () => {
    await using link = await Link.open();
    link.peer.end();
    await link.seen(Ready.PEER_HALF_CLOSED);
    expect(link.channel.receive(new Uint8Array(16), 0)).toBe(0);
  });

  test('write to a connection that is gone answers an error and raises no signal', async () => {
    await using link = await Link.open();
    link.peer.resetAndDestroy();
    await link.seen(Ready.ERROR);
    expect(link.channel.write(Buffer.from('x'), 0)).toBe(-ECONNRESET);
    expect(link.channel.write(Buffer.from('x'), 0)).toBe(-EPIPE);
  });

  test('bytesInTcp grows by what was written, acknowledged or not', async () => {
    await using link = await Link.open();
    await link.seen(Ready.WRITE);
    const before = link.channel.bytesInTcp();
    expect(link.channel.write(Buffer.alloc(1000), 0)).toBe(1000);
    expect(link.channel.bytesInTcp() - before).toBe(1000);
    link.peer.pause();
    const more = fill(link);
    expect(link.channel.bytesInTcp() - before).toBe(1000 + more);
  });

  test('bytesInTcp stays exact while acknowledgements come in', async () => {
    await using link = await Link.open();
    await link.seen(Ready.WRITE);
    link.peer.resume();
    const before = link.channel.bytesInTcp();
    let written = 0;
    for (let i = 0; i < 300; i++) {
      const taken = link.channel.write(Buffer.alloc(20_000), 0);
      if (taken > 0) written += taken;
      expect(link.channel.bytesInTcp() - before).toBe(written);
      if (i % 10 === 0) await turn();
    }
  });

  test('TLS options need the ULP', async () => {
    await using link = await Link.open();
    const refusals = [-ENOPROTOOPT, -EOPNOTSUPP]; // EOPNOTSUPP: seen from getsockopt on 6.18
    expect(refusals).toContain(link.channel.installKeys(1, 0x0304, 51, new Uint8Array(36)));
    expect(refusals).toContain(link.channel.sendSequence(0x0304, 51));
  });

  test('attachUlp succeeds, or says that there is no such ULP', async () => {
    await using link = await Link.open();
    expect([0, -ENOENT]).toContain(link.channel.attachUlp());
  });

  test('attachUlp refuses a socket that is not connected', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const channel = new (native().Channel)(fd, () => undefined);
    expect([-ENOTCONN, -ENOENT]).toContain(channel.attachUlp());
    channel.close();
    connect(port).destroy();
    listener.close();
  });

  test.each(['127.0.0.1', '::1'])(
    'tlsMode knows no TLS on a plain socket over %s',
    async (host) => {
      await using link = await Link.open(undefined, host);
      expect(link.channel.tlsMode()).toBe(0);
    },
  );
});

test('probe answers four steps, and a refused one cancels those after it', () => {
  const [pair, ulp, tx, rx] = native().probe(0x0304, 51);
  expect(pair).toBe(0);
  if (ulp === 0) {
    expect([tx, rx]).toEqual([0, 0]);
  } else {
    expect(ulp).toBe(-ENOENT);
    expect([tx, rx]).toEqual([-constants.errno.ECANCELED, -constants.errno.ECANCELED]);
  }
});

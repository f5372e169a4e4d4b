/** A loopback TCP connection with an addon channel on one end, for tests of the native layer. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { type Channel, type NativeBinding, Ready, loadBinding } from '../../lib/kernel/binding.js';

export function native(): NativeBinding {
  const binding = loadBinding();
  if (binding instanceof Error) throw binding;
  return binding;
}

export function fdOf(socket: Socket): number {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  if (!(fd >= 0)) throw new Error('the socket has no fd');
  return fd;
}

/** A connected pair. Neither end is read by Node unless told to (`resume()`), so channels may read both. */
export async function tcpPair(host = '127.0.0.1'): Promise<{ peer: Socket; socket: Socket }> {
  const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  listener.listen(0, host);
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const { port } = listener.address() as AddressInfo;
  const peer = connect({ port, host, allowHalfOpen: true });
  peer.pause();
  const [[socket]] = await Promise.all([accepted, once(peer, 'connect')]);
  listener.close();
  peer.setNoDelay(true);
  // Resets are the business of the test that provokes them.
  peer.on('error', () => undefined);
  socket.on('error', () => undefined);
  return { peer, socket };
}

/** A channel on the accepted end that notes its events. */
export class Link implements AsyncDisposable {
  readonly channel: Channel;
  readonly events: number[] = [];
  #waiting: (() => void) | undefined;

  readonly peer: Socket;
  readonly socket: Socket;

  private constructor(peer: Socket, socket: Socket, onReady?: (events: number) => void) {
    this.peer = peer;
    this.socket = socket;
    this.channel = new (native().Channel)(fdOf(socket), (events) => {
      this.events.push(events);
      this.#waiting?.();
      onReady?.(events);
    });
    this.channel.ref();
  }

  static async open(onReady?: (events: number) => void, host?: string): Promise<Link> {
    const { peer, socket } = await tcpPair(host);
    return new Link(peer, socket, onReady);
  }

  /** The next event that has all bits of `mask`, those of the past forgotten. */
  async next(mask: number): Promise<number> {
    this.events.length = 0;
    return this.seen(mask);
  }

  /** The first event that has all bits of `mask`, now or later. */
  async seen(mask: number): Promise<number> {
    for (;;) {
      const event = this.events.find((each) => (each & mask) === mask);
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Sends from the peer and waits until the channel has heard of it. */
  async deliver(data: Uint8Array): Promise<void> {
    const heard = this.next(Ready.READ);
    this.peer.write(data);
    await heard;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.close();
    this.peer.destroy();
    this.socket.destroy();
    await Promise.all([closed(this.peer), closed(this.socket)]);
  }
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close');
}

/** What a child process ended with. */
export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

const PRELUDE = `
  'use strict';
  const { Channel, probe } = require('node-gyp-build')(process.cwd());
  const { once } = require('node:events');
  const net = require('node:net');
  const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
  const READ = 1, WRITE = 4;
  async function pair() {
    const listener = net.createServer({ pauseOnConnect: true });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const accepted = once(listener, 'connection');
    const peer = net.connect(listener.address().port, '127.0.0.1');
    const [socket] = await accepted;
    listener.close();
    return { peer, socket, fd: socket._handle.fd };
  }
  // Keeps sockets from keeping the process, so that only channels may.
  const unrefAll = (...sockets) => sockets.forEach((socket) => socket.unref());
`;

/** Source of a whole script: `body` may use `Channel`, `pair()` and top-level `await`. */
export const script = (body: string): string =>
  `${PRELUDE}\n(async () => {${body}\n})().catch((error) => { console.error(error); process.exit(99); });`;

/** Runs `body` in a process of its own, which a crash, a hang or an exit code cannot hide from. */
export async function runAlone(body: string, deadline = 100_000): Promise<Ended> {
  const child = spawn(process.execPath, ['-e', script(body)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: deadline,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (output.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output.stderr += data.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, ...output };
}

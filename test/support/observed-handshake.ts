/** A handshake of node:tls with itself, in memory, with an observer on each side as the sockets have it. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { HandshakeObserver } from '../../lib/handshake/observer.js';
import { ecdsaCertificate } from './certificates.js';

export interface Observed {
  readonly server: HandshakeObserver;
  readonly client: HandshakeObserver;
  readonly sockets: { readonly server: tls.TLSSocket; readonly client: tls.TLSSocket };
  /** The last session that the client was given. */
  readonly session: Buffer | undefined;
}

/** One end. It takes records one at a time, and none that its observer takes for the kernel's. */
class End extends Duplex {
  readonly #observer: HandshakeObserver;
  readonly #held: Buffer[] = [];
  #input = Buffer.alloc(0);
  peer!: End;
  /** node:tls gets the rest, too: the sessions are in it. */
  released = false;

  constructor(observer: HandshakeObserver) {
    super();
    this.#observer = observer;
  }

  feed(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    for (;;) {
      const end = this.#input.length < 5 ? Infinity : 5 + this.#input.readUInt16BE(3);
      if (this.#input.length < end) break;
      this.#held.push(this.#input.subarray(0, end));
      this.#input = this.#input.subarray(end);
    }
    this.deliver();
  }

  deliver(): void {
    while (this.#held.length > 0 && (this.released || !this.#observer.receivedAll)) {
      const record = this.#held.shift()!;
      if (!this.released) this.#observer.received(record);
      this.push(record);
    }
  }

  override _read(): void {
    // Pushed as it comes.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#observer.sent(chunk);
    const copy = Buffer.from(chunk);
    setImmediate(() => {
      this.peer.feed(copy);
      done();
    });
  }
}

const settled = async (): Promise<void> => {
  for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
};

export async function observedHandshake(
  serverOptions: tls.TlsOptions,
  clientOptions: tls.ConnectionOptions,
  listener = tls.createServer({ ...ecdsaCertificate(), ...serverOptions }),
): Promise<Observed> {
  const server = new HandshakeObserver(true);
  const client = new HandshakeObserver(false);
  const ends = { server: new End(server), client: new End(client) };
  ends.server.peer = ends.client;
  ends.client.peer = ends.server;

  listener.on('keylog', (line: Buffer) => server.keylog(line));
  listener.emit('connection', ends.server);
  const socket = tls.connect({ ...clientOptions, socket: ends.client, rejectUnauthorized: false });
  let session: Buffer | undefined;
  socket.on('session', (newest: Buffer) => (session = newest));
  socket.on('keylog', (line: Buffer) => client.keylog(line));
  const [[accepted]] = (await Promise.all([
    once(listener, 'secureConnection'),
    once(socket, 'secureConnect'),
  ])) as [[tls.TLSSocket], unknown];
  await settled();
  // What the observers have seen by now is what counts; the rest is for the sessions.
  const seen = { server, client, sockets: { server: accepted, client: socket } };
  for (const end of Object.values(ends)) {
    end.released = true;
    end.deliver();
  }
  await settled();
  return { ...seen, session };
}

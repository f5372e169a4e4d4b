/** Connections between this library and node:tls (or itself) for the tests, and ways to drive them. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import * as ktls from '../../lib/index.js';
import { OffloadedSocket } from '../../lib/index.js';
import { ecdsaCertificate } from './certificates.js';

export type Side = 'ktls' | 'node';
export type AnySocket = OffloadedSocket | tls.TLSSocket;

export interface PairOptions {
  server?: Side;
  client?: Side;
  serverOptions?: tls.TlsOptions & ktls.OffloadOptions;
  clientOptions?: tls.ConnectionOptions & ktls.OffloadOptions;
}

export interface Pair extends AsyncDisposable {
  server: AnySocket;
  client: AnySocket;
  listener: tls.Server;
  close(): Promise<void>;
}

/** A server listening on loopback. */
export async function listen(
  side: Side,
  options: tls.TlsOptions & ktls.OffloadOptions = {},
): Promise<{
  listener: tls.Server;
  port: number;
}> {
  const all = { ...ecdsaCertificate(), ...options };
  const listener = side === 'ktls' ? ktls.createServer(all) : tls.createServer(all);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return { listener, port: (listener.address() as AddressInfo).port };
}

export function connectTo(
  port: number,
  side: Side,
  options: tls.ConnectionOptions & ktls.OffloadOptions = {},
): AnySocket {
  const all = { port, host: '127.0.0.1', rejectUnauthorized: false, ...options };
  return side === 'ktls' ? ktls.connect(all) : tls.connect(all);
}

/** A secured connection. Rejects with whichever side's error comes first. */
export async function connectPair(options: PairOptions = {}): Promise<Pair> {
  const { listener, port } = await listen(options.server ?? 'ktls', options.serverOptions);
  const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
  const refused = once(listener, 'tlsClientError').then(([error]) =>
    Promise.reject(error as Error),
  );
  refused.catch(() => undefined);
  const client = connectTo(port, options.client ?? 'ktls', options.clientOptions);
  await once(client, 'secureConnect');
  const [server] = await Promise.race([accepted, refused]);
  const close = async (): Promise<void> => {
    const closed = [client, server]
      .filter((socket) => !socket.closed)
      .map((socket) => once(socket, 'close').catch(() => undefined));
    client.destroy();
    server.destroy();
    await Promise.all(closed);
    listener.close();
    await once(listener, 'close');
  };
  return { server, client, listener, close, [Symbol.asyncDispose]: close };
}

export function isOffloaded(socket: AnySocket): boolean {
  return socket instanceof OffloadedSocket && socket.offload.offloaded;
}

/** Reads a stream to its end. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Reads exactly so many bytes and leaves the stream open. */
export async function readExactly(stream: Duplex, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let missing = length;
  while (missing > 0) {
    const chunk = stream.read(
      Math.min(missing, Math.max(1, stream.readableLength)),
    ) as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      missing -= chunk.length;
    } else if (stream.readableEnded || stream.destroyed) {
      throw new Error(`the stream ended ${missing} bytes early`);
    } else {
      const settled = new AbortController();
      const { signal } = settled;
      const events = ['readable', 'end', 'close'].map((event) => once(stream, event, { signal }));
      for (const event of events) event.catch(() => undefined);
      await Promise.race(events);
      settled.abort();
    }
  }
  return Buffer.concat(chunks);
}

/** Sends random bytes both ways at once, and says whether they arrived. */
export async function exchange(
  pair: Pick<Pair, 'server' | 'client'>,
  bytes: number,
): Promise<boolean> {
  const down = randomBytes(bytes);
  const up = randomBytes(bytes);
  pair.server.write(down);
  pair.client.write(up);
  const [atClient, atServer] = await Promise.all([
    readExactly(pair.client, bytes),
    readExactly(pair.server, bytes),
  ]);
  return atClient.equals(down) && atServer.equals(up);
}

/** HTTPS servers of Node, offloaded or not, and clients for them. */
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from './certificates.js';
import { type AnySocket, type Side } from './connection.js';

export interface Serving extends AsyncDisposable {
  readonly server: https.Server;
  readonly port: number;
  /** What the server's 'secureConnection' has brought so far. */
  readonly accepted: AnySocket[];
}

export interface ServeOptions {
  /** `'ktls'` (the default): offloaded; `'node'`: as it is, to compare with. */
  side?: Side;
  options?: https.ServerOptions;
  offload?: ktls.OffloadOptions;
}

/** An `https.Server` on loopback. */
export async function serve(
  respond: RequestListener,
  { side = 'ktls', options, offload }: ServeOptions = {},
): Promise<Serving> {
  const server = https.createServer({ ...ecdsaCertificate(), ...options }, respond);
  if (side === 'ktls') ktls.offload(server, offload);
  const accepted: AnySocket[] = [];
  server.on('secureConnection', (socket) => accepted.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    server,
    port: (server.address() as AddressInfo).port,
    accepted,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly message: IncomingMessage;
  readonly body: Buffer;
  /** Of the connection: the message itself forgets it when the connection goes back to its agent. */
  readonly localPort: number | undefined;
}

/** One request of Node's own client. `body` is sent if there is one. */
export async function request(
  port: number,
  options: https.RequestOptions & tls.ConnectionOptions & { body?: Uint8Array } = {},
): Promise<Answer> {
  const { body, ...rest } = options;
  const outgoing = https.request({
    host: '127.0.0.1',
    port,
    agent: false,
    rejectUnauthorized: false,
    ...rest,
  });
  outgoing.end(body);
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage];
  const { localPort } = message.socket;
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return { status: message.statusCode!, message, body: Buffer.concat(chunks), localPort };
}

/** A request as it stands on the wire. */
export function rawRequest(line: string, ...headers: string[]): string {
  return [`${line} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n');
}

/** A secured connection on which a test speaks HTTP itself. */
export async function rawClient(
  port: number,
  options: tls.ConnectionOptions & ktls.OffloadOptions = {},
): Promise<AnySocket> {
  const socket = ktls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** Reads on until the text ends so; what follows stays in the stream. */
export async function readUntil(socket: AnySocket, ending: string): Promise<string> {
  let text = '';
  while (!text.endsWith(ending)) {
    const chunk = socket.read(1) as Buffer | null;
    if (chunk !== null) {
      text += chunk.toString('latin1');
    } else if (socket.readableEnded || socket.destroyed) {
      throw new Error(`the stream ended behind ${JSON.stringify(text)}`);
    } else {
      await nextOf(socket, 'readable', 'end', 'close');
    }
  }
  return text;
}

/** The first of these events, whatever its arguments; its listeners do not pile up. */
export async function nextOf(socket: AnySocket, ...events: string[]): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  try {
    await Promise.race(events.map((event) => once(socket, event, { signal })));
  } finally {
    controller.abort();
  }
}

/** 'close', and no error on the way is one of the test. */
export async function closed(socket: AnySocket): Promise<void> {
  if (socket.closed) return;
  await new Promise((resolve) => socket.once('close', resolve));
}

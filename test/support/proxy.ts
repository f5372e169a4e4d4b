/** An HTTP proxy on loopback, for CONNECT alone. */
import { once } from 'node:events';
import { type IncomingMessage, type Server, createServer } from 'node:http';
import * as https from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { ecdsaCertificate } from './certificates.js';

export interface TestProxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Each CONNECT that has come: its target, and the headers that came with it. */
  readonly connects: { target: string; headers: IncomingMessage['headers'] }[];
  /** The local ports of the connections that it has made. */
  readonly outgoing: (number | undefined)[];
}

/** Instead of a tunnel: what the proxy answers. */
export type Answer = (socket: Duplex) => void;

/** @param secure - Is spoken to within TLS. */
export async function startProxy(answer?: Answer, secure = false): Promise<TestProxy> {
  const connects: TestProxy['connects'] = [];
  const outgoing: TestProxy['outgoing'] = [];
  const sockets = new Set<Duplex>();
  const keep = <T extends Duplex>(socket: T): T => {
    sockets.add(socket);
    return socket.on('error', () => undefined).on('close', () => void sockets.delete(socket));
  };
  const server: Server = secure ? https.createServer(ecdsaCertificate()) : createServer();
  server.on('connect', ({ url, headers }: IncomingMessage, client: Duplex) => {
    connects.push({ target: url!, headers });
    keep(client);
    if (answer !== undefined) {
      answer(client);
      return;
    }
    const { hostname, port } = new URL(`http://${url}`);
    const onward = keep(
      connect(Number(port), hostname.replace(/^\[|\]$/g, ''), () => {
        outgoing.push(onward.localPort);
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        onward.pipe(client).pipe(onward);
      }),
    );
    onward.on('close', () => client.destroy());
    client.on('close', () => onward.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    connects,
    outgoing,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

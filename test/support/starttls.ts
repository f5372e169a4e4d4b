/** A server that speaks in clear until the client asks for TLS, as SMTP servers and databases do. */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { Server } from 'node:tls';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from './certificates.js';
import { type AnySocket } from './connection.js';

export const REQUEST = 'STARTTLS\r\n';
export const ANSWER = '220 go ahead\r\n';

export interface StartTls extends AsyncDisposable {
  readonly port: number;
  readonly secured: AnySocket[];
  readonly tlsServer: Server;
  /** A socket that has spoken in clear; `data` listens on it, as clients leave it behind. */
  upgradable(): Promise<Socket>;
}

/** Its TLS side echoes what it gets. */
export async function startTls(): Promise<StartTls> {
  const secured: AnySocket[] = [];
  const raws = new Set<Socket>();
  const tlsServer = ktls.createServer({ ...ecdsaCertificate(), ALPNProtocols: ['echo'] });
  tlsServer.on('secureConnection', (socket) => {
    secured.push(socket);
    // The client's leaving is the business of the test.
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  const listener = createServer((raw) => {
    raws.add(raw);
    raw.on('error', () => undefined);
    raw.once('close', () => raws.delete(raw));
    const take = (chunk: Buffer): void => {
      if (chunk.toString() !== REQUEST) return;
      raw.removeListener('data', take);
      raw.write(ANSWER, () => tlsServer.emit('connection', raw));
    };
    raw.on('data', take);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  return {
    port,
    secured,
    tlsServer,
    async upgradable() {
      const raw = connect(port, '127.0.0.1');
      raw.on('data', () => undefined);
      raw.write(REQUEST);
      await once(raw, 'data');
      return raw;
    },
    async [Symbol.asyncDispose]() {
      for (const raw of raws) raw.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

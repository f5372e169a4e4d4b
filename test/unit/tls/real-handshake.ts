/** A node:tls client and server joined in memory, and everything that passed between them. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import tls from 'node:tls';

export interface Handshake {
  readonly client: tls.TLSSocket;
  readonly server: tls.TLSSocket;
  /** Bytes sent so far by either side. */
  readonly sent: { client: Buffer; server: Buffer };
  readonly keylog: { client: Buffer[]; server: Buffer[] };
  close(): void;
}

class Wire extends Duplex {
  peer!: Wire;
  readonly chunks: Buffer[] = [];

  override _read(): void {
    // Data is pushed by the peer.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    this.peer.push(chunk);
    // Not at once: TLSSocket would re-enter itself.
    setImmediate(done);
  }

  override _final(done: () => void): void {
    this.peer.push(null);
    done();
  }
}

/** @throws whatever either side's handshake fails with. */
export async function handshake(
  serverOptions: tls.TlsOptions,
  clientOptions: tls.ConnectionOptions,
): Promise<Handshake> {
  const [left, right] = [new Wire(), new Wire()];
  left.peer = right;
  right.peer = left;
  const keylog = { client: [] as Buffer[], server: [] as Buffer[] };

  const tlsServer = tls.createServer(serverOptions);
  tlsServer.on('keylog', (line: Buffer) => keylog.server.push(line));
  tlsServer.emit('connection', right);
  const client = tls.connect({ ...clientOptions, socket: left, rejectUnauthorized: false });
  client.on('keylog', (line: Buffer) => keylog.client.push(line));

  const failed = once(tlsServer, 'tlsClientError').then(([error]) =>
    Promise.reject(error as Error),
  );
  const [[server]] = (await Promise.race([
    Promise.all([once(tlsServer, 'secureConnection'), once(client, 'secureConnect')]),
    failed,
  ])) as [[tls.TLSSocket], unknown];
  failed.catch(() => undefined);
  return {
    client,
    server,
    sent: {
      get client() {
        return Buffer.concat(left.chunks);
      },
      get server() {
        return Buffer.concat(right.chunks);
      },
    },
    keylog,
    close: () => {
      client.destroy();
      server.destroy();
    },
  };
}

/** Whole records, headers included. */
export function splitRecords(stream: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let offset = 0; offset < stream.length;) {
    const end = offset + 5 + stream.readUInt16BE(offset + 3);
    records.push(stream.subarray(offset, end));
    offset = end;
  }
  return records;
}

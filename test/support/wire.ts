/** A TCP proxy that stands between the two sides and keeps every byte of both directions. */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

export interface Wire {
  readonly port: number;
  readonly toServer: Buffer[];
  readonly toClient: Buffer[];
  /** The proxy's sockets, for a test that wants to cut the connection. */
  readonly sockets: Socket[];
  close(): Promise<void>;
}

export interface WireOptions {
  /** Sees each chunk on its way to the server or client; what it returns is forwarded. */
  transform?: (chunk: Buffer, towards: 'server' | 'client', sockets: Socket[]) => Buffer | null;
  /** Forwards one byte at a time. */
  dribble?: boolean;
}

export async function tap(target: number, options: WireOptions = {}): Promise<Wire> {
  const toServer: Buffer[] = [];
  const toClient: Buffer[] = [];
  const sockets: Socket[] = [];
  const listener = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    sockets.push(near, far);
    join(near, far, toServer, 'server');
    join(far, near, toClient, 'client');
  });

  function join(from: Socket, to: Socket, record: Buffer[], towards: 'server' | 'client'): void {
    from.setNoDelay(true);
    from.on('data', (data: Buffer) => {
      const chunk = options.transform ? options.transform(data, towards, sockets) : data;
      if (chunk === null) return;
      record.push(Buffer.from(chunk));
      if (options.dribble === true) for (const byte of chunk) to.write(Uint8Array.of(byte));
      else to.write(chunk);
    });
    from.on('end', () => to.end());
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => to.destroySoon());
  }

  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    toServer,
    toClient,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** The content types of the records in a stream; throws where it is not made of whole records. */
export function recordTypes(chunks: Buffer[], partial = false): number[] {
  return records(chunks, partial).map(({ type }) => type);
}

/** What the headers say: the bytes of each record behind its header. */
export function recordLengths(chunks: Buffer[]): number[] {
  return records(chunks, false).map(({ length }) => length);
}

function records(chunks: Buffer[], partial: boolean): { type: number; length: number }[] {
  const bytes = Buffer.concat(chunks);
  const found: { type: number; length: number }[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const type = bytes[offset]!;
    if (bytes.length - offset < 5 && partial) break;
    const length = bytes.readUInt16BE(offset + 3);
    if (type < 20 || type > 24 || bytes[offset + 1] !== 3) {
      throw new Error(`no TLS record at byte ${offset} of ${bytes.length}: ${type}`);
    }
    const end = offset + 5 + length;
    if (end > bytes.length && !partial) throw new Error(`a record is cut at ${offset}`);
    found.push({ type, length });
    offset = end;
  }
  return found;
}

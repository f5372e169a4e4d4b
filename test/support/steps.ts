/** A handshake stopped after any one of its records. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import * as tls from 'node:tls';
import { connectTo, listen } from './connection.js';
import type { Version } from './scripted.js';
import { type Wire, recordTypes, tap } from './wire.js';

export type Towards = 'server' | 'client';

/** How many records each side has sent when node:tls, with itself, has nothing more to say. */
export async function handshakeRecords(version: Version): Promise<Record<Towards, number>> {
  const limits = { minVersion: version, maxVersion: version };
  const { listener, port } = await listen('node', limits);
  const wire = await tap(port);
  const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
  const client = connectTo(wire.port, 'node', limits);
  let tickets = version === 'TLSv1.3' ? 2 : 0;
  const ticketed = new Promise<void>((resolve) => {
    if (tickets === 0) resolve();
    client.on('session', () => {
      if (--tickets === 0) resolve();
    });
  });
  const [[server]] = await Promise.all([accepted, once(client, 'secureConnect'), ticketed]);
  const counts = {
    server: recordTypes(wire.toServer).length,
    client: recordTypes(wire.toClient).length,
  };
  client.destroy();
  server.destroy();
  await wire.close();
  listener.close();
  await once(listener, 'close');
  return counts;
}

/** A record begins at `offset` and is whole: where it ends; else `null`. */
function recordEnd(bytes: Buffer, offset: number): number | null {
  if (bytes.length - offset < 5) return null;
  const end = offset + 5 + bytes.readUInt16BE(offset + 3);
  return end <= bytes.length ? end : null;
}

/**
 * A proxy that forwards everything until it has forwarded so many records in one direction. Then nothing
 * passes any more, in either direction, and `stopped` is called with the proxy's two ends: the one
 * nearer to the client first.
 */
export async function tapUntil(
  target: number,
  towards: Towards,
  records: number,
  stopped: (near: Socket, far: Socket) => void,
): Promise<Wire> {
  let rest = Buffer.alloc(0);
  let seen = 0;
  let over = false;
  return tap(target, {
    transform(chunk, to, sockets) {
      if (over) return null;
      if (to !== towards && records > 0) return chunk;
      rest = Buffer.concat([rest, chunk]);
      let end = 0;
      while (seen < records) {
        const next = recordEnd(rest, end);
        if (next === null) break;
        end = next;
        seen++;
      }
      if (seen === records) {
        over = true;
        // After the forwarding of what is returned here.
        setImmediate(() => stopped(sockets[0]!, sockets[1]!));
      }
      const whole = rest.subarray(0, end);
      rest = rest.subarray(end);
      return whole.length > 0 ? whole : null;
    },
  });
}

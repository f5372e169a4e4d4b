/** A socket of ours, in either role, opposite a peer that sends what a test tells it to. */
import { once } from 'node:events';
import type * as tls from 'node:tls';
import type { OffloadOptions } from '../../lib/index.js';
import { type AnySocket, type Side, connectTo, isOffloaded, listen } from './connection.js';
import { RecordPeer } from './record-peer.js';

export type Role = 'server' | 'client';
export type Version = 'TLSv1.2' | 'TLSv1.3';
export const roles: readonly Role[] = ['server', 'client'];
export const versions: readonly Version[] = ['TLSv1.2', 'TLSv1.3'];

export interface Scripted extends AsyncDisposable {
  readonly peer: RecordPeer;
  readonly socket: AnySocket;
}

export interface ScriptedOptions {
  /** Whose socket it is: ours unless a test wants to know what node:tls would do. */
  side?: Side;
  allowHalfOpen?: boolean;
  /** For both ends, beside the version. */
  options?: tls.TlsOptions & tls.ConnectionOptions & OffloadOptions;
}

export async function scripted(
  role: Role,
  version: Version,
  { side = 'ktls', allowHalfOpen = false, options = {} }: ScriptedOptions = {},
): Promise<Scripted> {
  const both = { ...options, minVersion: version, maxVersion: version };
  const make = role === 'server' ? asServer : asClient;
  const { peer, socket, close } = await make(side, both, { ...both, allowHalfOpen });
  if (side === 'ktls' && !isOffloaded(socket)) throw new Error('the socket is not offloaded');
  return {
    peer,
    socket,
    async [Symbol.asyncDispose]() {
      socket.on('error', () => undefined);
      socket.destroy();
      await peer[Symbol.asyncDispose]();
      if (!socket.closed) await once(socket, 'close');
      await close();
    },
  };
}

type Made = Pick<Scripted, 'peer' | 'socket'> & { close: () => Promise<unknown> };
type Options = tls.TlsOptions &
  tls.ConnectionOptions &
  OffloadOptions & { allowHalfOpen?: boolean | undefined };

async function asServer(side: Side, peers: Options, ours: Options): Promise<Made> {
  const { listener, port } = await listen(side, ours);
  const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
  const [[socket], peer] = await Promise.all([accepted, RecordPeer.connect(port, peers)]);
  const close = () => {
    listener.close();
    return once(listener, 'close');
  };
  return { peer, socket, close };
}

async function asClient(side: Side, peers: Options, ours: Options): Promise<Made> {
  const { port, accepted } = await RecordPeer.listen(peers);
  const socket = connectTo(port, side, ours);
  const [peer] = await Promise.all([accepted, once(socket, 'secureConnect')]);
  return { peer, socket, close: () => Promise.resolve() };
}

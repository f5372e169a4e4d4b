/** How an HTTP/1 server of Node keeps a connection from asking for more than it takes. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { handleOf } from './socket.js';

const ignored = (): void => undefined;

/**
 * Counts bytes among those that the responses of a connection hold back, as a response does itself with what it
 * writes before its turn: while they reach the high-water mark of the connection, Node reads no more requests
 * from it.
 *
 * @returns Takes them off the count again; to be called once.
 */
export function countPending(response: ServerResponse, bytes: number): () => void {
  // A request that was made by hand has none.
  const socket = response.req.socket as Socket | null;
  if (!socket) return () => undefined;
  const count = response as unknown as { _onPendingData: (bytes: number) => void };
  readByStream(socket);
  count._onPendingData(bytes);
  return () => {
    // It would read the requests that it has got.
    if (!socket.destroyed) count._onPendingData(-bytes);
  };
}

/**
 * A parser that is paused gets what else node:tls has decrypted all the same, and fails with HPE_PAUSED, if it reads
 * from its handle (seen in Node 20 to 26). Since there is a listener it does not.
 */
function readByStream(socket: Socket & { parser?: { _consumed?: boolean } | null }): void {
  const handle = handleOf(socket);
  if (handle?.constructor.name !== 'TLSWrap' || socket.parser?._consumed === false) return;
  socket.on('data', ignored).off('data', ignored);
  // A parser stops its handle while the connection is full, and would have been the one to start it again.
  if (handle.reading) return;
  handle.reading = true;
  handle.readStart();
}

/** What `net.Socket` itself does with a TCP handle, below all that a subclass makes of it. */
import { Socket } from 'node:net';
import * as node from '../node-private.js';
import type { KernelPathOwner } from './kernel-path.js';

/**
 * @param tcp - The socket that has the handle.
 * @param bytesInClear - What was written to the handle before it was under kernel TLS.
 */
export function tcpSide(tcp: () => Socket, bytesInClear: number): KernelPathOwner['handle'] {
  const { prototype } = Socket;
  return {
    write: (chunk, encoding, callback) => prototype._write.call(tcp(), chunk, encoding, callback),
    writev: (chunks, callback) => prototype._writev!.call(tcp(), chunks, callback),
    shutdown: (callback) => prototype._final.call(tcp(), callback),
    setNoDelay: () => void prototype.setNoDelay.call(tcp(), true),
    fd: () => node.handleOf(tcp())?.fd ?? -1,
    bytesWritten: () => (node.handleOf(tcp())?.bytesWritten ?? 0) - bytesInClear,
  };
}

/** TLS within TLS: the inner connection is node:tls's, over an offloaded one as a mere stream. */
import { Duplex } from 'node:stream';
import { OffloadedSocket } from './socket/offloaded-socket.js';

/**
 * node:tls reads and writes the handle of a `net.Socket` in native code, past all that makes an
 * offloaded one right: unread control records, and bytes in clear before the keys are there. So it is
 * shown a stream that is no socket. Other streams are returned as they are.
 */
export function asMereStream(stream: Duplex): Duplex {
  if (!(stream instanceof OffloadedSocket)) return stream;
  return new Proxy<Duplex>(stream, {
    getPrototypeOf: () => Duplex.prototype,
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

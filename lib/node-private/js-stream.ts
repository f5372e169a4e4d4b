/** The native streams that Node has for JavaScript to stand behind. */
import { constants } from 'node:os';
import { Duplex } from 'node:stream';
import { TLSSocket, createSecureContext } from 'node:tls';
import { internals } from './internals.js';

/** Node's `JSStream` handle: a stream for native consumers with JavaScript behind it. */
export interface JsStream {
  reading: boolean;
  onread: unknown;
  readBuffer(chunk: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: object, status: number): void;
  finishShutdown(request: object, status: number): void;
}

/**
 * The class `JSStream`, which Node exports nowhere: node:tls gives one to each stream that has no handle of
 * its own.
 */
export function jsStream(): new () => JsStream {
  if (foundJsStream === undefined) {
    const stream = new Duplex({ read: () => undefined });
    // An empty list: Node's own certificates take long to load.
    const example = new TLSSocket(stream, {
      isServer: true,
      secureContext: createSecureContext({ ca: [] }),
    });
    const { _parent: handle } = internals(example)._handle as unknown as {
      _parent: { constructor: new () => JsStream };
    };
    foundJsStream = handle.constructor;
    example.destroy();
  }
  return foundJsStream;
}
let foundJsStream: (new () => JsStream) | undefined;

/** The status of a request whose stream is closed before it is done. */
export const ECANCELED = -constants.errno.ECANCELED;
const EPIPE = -constants.errno.EPIPE;

/** What a native stream calls the end of a request. */
export const statusOf = (error: Error | null | undefined): number =>
  error ? ((error as NodeJS.ErrnoException).errno ?? EPIPE) : 0;

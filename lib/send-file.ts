/** `sendFile`: one call for every target, `sendfile(2)` where that can be. */
import { OutgoingMessage, ServerResponse } from 'node:http';
import { Duplex, Writable } from 'node:stream';
import { invalidArgument } from './errors.js';
import * as node from './node-private.js';
import { type SendFileInit, parseSendFile } from './options.js';
import type { WriteCallback } from './socket/data-path.js';
import type { FileSource } from './socket/file-source.js';
import { OffloadedSocket } from './socket/offloaded-socket.js';
import { takesFiles } from './socket/node-socket.js';
import { FileRequest, queueFile } from './socket/send-file.js';

/**
 * Sends a file, or a part of it, as a `write` of its content would, without the content passing through
 * JavaScript wherever the kernel can bring it to the wire by itself:
 *
 * - an `OffloadedSocket`, a plain `net.Socket`, a `tls.TLSSocket`: in its place between the `write`s before
 *   and after it;
 * - an `http.ServerResponse` on one of them, also behind pipelined responses: as a part of the body, one
 *   chunk of it unless `Content-Length` was set. The file is opened first; the headers are not sent before
 *   it is there. Wait for the promise before the next `write` or `end`;
 * - any other `Writable`, http2's responses included: read and written piece by piece. Write nothing else
 *   until it is done.
 *
 * The target is not ended. What the kernel cannot send, because node:tls encrypts it, the addon is not there,
 * or the file system has no splice or does not know the file's size (procfs), is read and written instead.
 *
 * @returns The number of bytes sent. Rejects with what `docs/errors.md` has under "Files"; the target is
 * destroyed if it got a part of the file only.
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong argument; `EBADF` for a closed fd.
 */
export function sendFile(
  target: Writable,
  source: FileSource,
  options?: SendFileInit,
): Promise<number> {
  if (target instanceof OffloadedSocket) return target.sendFile(source, options);
  const writes = (target as unknown as Partial<Writable> | null)?.write;
  if (typeof writes !== 'function') throw invalidArgument('target', 'must be a Writable', target);
  const request = new FileRequest(source, parseSendFile(options));
  if (target instanceof ServerResponse) {
    const response = target as ServerResponse;
    return writesItself(response) ? respond(response, request) : stream(response, request);
  }
  if (takesFiles(target as Duplex)) return queueFile(target, request);
  return stream(target, request);
}

/** Whether nothing stands between the response and its connection, such as compression would. */
function writesItself(response: ServerResponse): boolean {
  const { prototype } = OutgoingMessage;
  if (response.write !== prototype.write || response.strictContentLength) return false;
  const { socket } = response.req;
  return socket instanceof OffloadedSocket || takesFiles(socket);
}

/** The marker goes the way of every piece of the body, and waits with it for its place on the wire. */
function respond(response: ServerResponse, request: FileRequest): Promise<number> {
  const { socket } = response.req;
  const unwatch = watch(socket, request);
  // The marker counts for nothing, and Node would go on to read the requests of who takes no answers; and a file
  // system may take its time to open one.
  const large = socket.writableHighWaterMark + 1;
  let uncount = node.countPending(response, large);
  request.chunked = () => response.chunkedEncoding;
  request.opened.then(
    ({ length }) => {
      if (response.destroyed || response.writableEnded) {
        // Ended by somebody else: what is written behind that is an error of the response.
        request.interrupt(socket.errored);
      } else if (!request.over) {
        if (length < large) {
          // In this order, for nothing to be read in between.
          const uncountLarge = uncount;
          uncount = node.countPending(response, length);
          uncountLarge();
        }
        queue(response, request);
      }
    },
    // What `sent` says too.
    () => undefined,
  );
  return request.sent.finally(() => {
    unwatch();
    uncount();
  });
}

function queue(response: ServerResponse, request: FileRequest): void {
  try {
    uncorked(response, () => void queueFile(response, request));
  } catch (error) {
    // Of the headers, or that there may be no body.
    request.interrupt(error as Error);
  }
}

const waiting = Symbol('ktls.waiting');

/**
 * A response that waits behind another one is not told of the end of their connection: Node emits its 'close' on
 * the first of them only.
 *
 * @returns Ends it; to be called when the request is over.
 */
function watch(
  connection: Duplex & { [waiting]?: Set<FileRequest> },
  request: FileRequest,
): () => void {
  if (connection.destroyed) request.interrupt(connection.errored);
  let requests = connection[waiting];
  if (requests === undefined) {
    const all = (requests = new Set());
    connection[waiting] = all;
    connection.once('close', () => {
      for (const each of all) each.interrupt(connection.errored);
    });
  }
  requests.add(request);
  return () => void requests.delete(request);
}

/**
 * Writes to a response at once, and what it holds ahead of that if it is corked: of a chunked one a write of
 * no length, as a marker is, would overtake it (seen in Node 24).
 */
function uncorked(response: ServerResponse, write: () => void): void {
  const corks = response.writableCorked;
  if (corks === 0) {
    write();
    return;
  }
  for (let cork = 0; cork < corks; cork++) response.uncork();
  // Node corks a connection that is not by itself, up to the next turn.
  const { socket } = response;
  socket?.cork();
  try {
    write();
  } finally {
    socket?.uncork();
    for (let cork = 0; cork < corks; cork++) response.cork();
  }
}

async function stream(target: Writable, request: FileRequest): Promise<number> {
  const closed = (): void => request.interrupt(target.errored);
  const failed = (error: Error): void => request.interrupt(error);
  target.once('close', closed).once('error', failed);
  const { req } = target as Partial<ServerResponse>;
  const connection: unknown = target instanceof ServerResponse ? req?.socket : null;
  const unwatch = connection instanceof Duplex ? watch(connection, request) : () => undefined;
  const writer = writerOf(target);
  let begun = false;
  const carrier = {
    writeData: (data: Buffer, callback: WriteCallback): void => {
      if (!begun && target.writableEnded) {
        // By somebody else, and what it was ended with is still on its way.
        request.interrupt(target.errored);
        return;
      }
      try {
        writer.write(data, callback);
        begun = true;
      } catch (error) {
        // A target that got nothing is not destroyed.
        if (begun) callback(error as Error);
        else request.interrupt(error as Error);
      }
    },
    reset: (error: Error): void => {
      // The application has it by the promise, which may be settled before the 'error' comes.
      target.on('error', () => undefined);
      target.destroy(error);
    },
  };
  if (target.destroyed) closed();
  else if (isBodiless(target))
    void request.opened.then(
      () => request.passed(),
      () => undefined,
    );
  else request.run(carrier, () => undefined);
  try {
    return await request.sent;
  } finally {
    target.off('close', closed).off('error', failed);
    unwatch();
    writer.release();
  }
}

/** HTTP/2 takes no write of a response to HEAD, which HTTP/1 leaves out. */
function isBodiless(target: Writable): boolean {
  const { req } = target as Partial<ServerResponse>;
  return req?.method === 'HEAD' && isOfHttp2(target);
}

/** `node:http2` is not imported: who has no response of HTTP/2 need not load it. */
function isOfHttp2(target: Writable): boolean {
  return target instanceof process.getBuiltinModule('node:http2').Http2ServerResponse;
}

interface Writer {
  /** Calls back when the target may be given more. */
  readonly write: (data: Buffer, callback: WriteCallback) => void;
  /** Lets go of the target. */
  readonly release: () => void;
}

/**
 * Node's own writes call back. What stands in the place of one may know nothing of that, as with the middleware
 * `compression`: it is believed in what it returns, as by `pipe`.
 */
function writerOf(target: Writable): Writer {
  if (callsBack(target)) {
    return {
      write: (data, callback) => void target.write(data, callback),
      release: () => undefined,
    };
  }
  let next: WriteCallback | null = null;
  const drained = (): void => {
    const callback = next;
    next = null;
    callback?.(null);
  };
  target.on('drain', drained);
  return {
    write: (data, callback) => {
      next = callback;
      // Nothing at all is no refusal.
      if ((target.write(data) as unknown) !== false) drained();
    },
    release: () => void target.off('drain', drained),
  };
}

function callsBack(target: Writable): boolean {
  const { prototype } = OutgoingMessage;
  if (target.write === Writable.prototype.write || target.write === prototype.write) return true;
  return isOfHttp2(target) && !Object.hasOwn(target, 'write');
}

/** `connect`: what `tls.connect` does, under kernel TLS where the host can. */
import type { OnReadOpts, Socket, TcpNetConnectOpts } from 'node:net';
import { type Duplex, addAbortSignal } from 'node:stream';
import * as tls from 'node:tls';
import { decorate, type UserSpaceSocket } from './decorate.js';
import { KtlsError } from './errors.js';
import { publishRefusal } from './diagnostics.js';
import { kernelRefusal } from './kernel/probe.js';
import { asMereStream } from './nested.js';
import * as node from './node-private.js';
import { type OffloadOptions, type OffloadSettings, parseOffload } from './options.js';
import { OffloadedSocket, internal } from './socket/offloaded-socket.js';

/** node:tls's own, whatever takes its place later on (`ktls/register`). */
const { connect: connectTls } = tls;

/** The options of `tls.connect`, those it passes on to `net.connect` included, and ours. */
export interface ConnectOptions extends tls.ConnectionOptions, OffloadOptions {
  allowHalfOpen?: boolean | undefined;
  autoSelectFamily?: boolean | undefined;
  autoSelectFamilyAttemptTimeout?: number | undefined;
  family?: number | undefined;
  hints?: number | undefined;
  highWaterMark?: number | undefined;
  keepAlive?: boolean | undefined;
  keepAliveInitialDelay?: number | undefined;
  localAddress?: string | undefined;
  localPort?: number | undefined;
  noDelay?: boolean | undefined;
  onread?: OnReadOpts | undefined;
  signal?: AbortSignal | undefined;
}

/** A client connection: under kernel TLS, or node:tls's own socket where that cannot be. */
export type ClientSocket = OffloadedSocket | UserSpaceSocket;

/**
 * Connects as `tls.connect` does, with all its signatures, options and events. The handshake is
 * node:tls's; then the kernel takes over. Where kernel TLS cannot be used (see `socket.offload.reason`)
 * the returned socket is a `tls.TLSSocket`, or with `mode: 'require'` it emits the reason as 'error'
 * before any application byte is sent.
 *
 * @param options - Of `tls.connect`; `mode` is `'prefer'` by default.
 * @param callback - Added as a listener of 'secureConnect'.
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong `mode`, and whatever `tls.connect` throws.
 */
export function connect(options: ConnectOptions, callback?: () => void): ClientSocket;
export function connect(
  port: number,
  host?: string,
  options?: ConnectOptions,
  callback?: () => void,
): ClientSocket;
export function connect(
  portOrPath: number | string,
  options?: ConnectOptions,
  callback?: () => void,
): ClientSocket;
export function connect(...args: unknown[]): ClientSocket {
  const { options, callback } = normalize(args);
  return secure(parseOffload(options), options, callback);
}

/** @internal What takes the place of `tls.connect`: options with the names of ours are not for us there. */
export function connectWith(settings: OffloadSettings, args: unknown[]): ClientSocket {
  const { options, callback } = normalize(args);
  return secure(settings, options, callback);
}

function secure(
  settings: OffloadSettings,
  options: ConnectOptions,
  callback: (() => void) | undefined,
): ClientSocket {
  const { mode } = settings;
  const reason = refusalBefore(options, mode === 'off');
  if (reason !== null && mode !== 'require') return connectInUserSpace(options, reason, callback);

  // What is said of the TCP connection does not concern one that is there already.
  const raw = (options.socket ?? undefined) as Socket | undefined;
  const { signal, onread, timeout, socket: _, ...handshakeOptions } = options;
  const { highWaterMark, noDelay, keepAlive, keepAliveInitialDelay } = options;
  const { allowHalfOpen } = raw ?? options;
  const socket = new OffloadedSocket({
    key: internal,
    settings,
    onread: raw === undefined && isOwnBuffer(onread) ? onread : undefined,
    socket: definedOnly({
      allowHalfOpen,
      highWaterMark,
      ...(raw === undefined ? { noDelay, keepAlive, keepAliveInitialDelay } : {}),
    }),
    secured: announce,
  });
  // Not by the constructor: aborted already, it would destroy a socket that is not whole yet.
  if (signal) addAbortSignal(signal, socket);
  if (callback !== undefined) socket.once('secureConnect', callback);
  if (reason !== null) {
    process.nextTick(() => {
      socket.destroy(reason);
      raw?.destroy();
    });
    return socket;
  }
  // By the signal: to connect would bring it back to life.
  if (socket.destroyed) {
    raw?.destroy();
    return socket;
  }
  try {
    socket.startClient(handshakeOptions, raw);
  } catch (error) {
    // A certificate, say, that is none. The signal lets go of a closed socket only.
    socket.destroy();
    throw error;
  }
  if (raw !== undefined) return socket;
  if (timeout) socket.setTimeout(timeout);
  socket.connect(options as TcpNetConnectOpts);
  return socket;
}

function connectInUserSpace(
  options: ConnectOptions,
  reason: KtlsError,
  callback: (() => void) | undefined,
): UserSpaceSocket {
  const { socket: stream } = options;
  if (stream) options.socket = asMereStream(stream);
  const socket = decorate(connectTls(options, callback), reason);
  publishRefusal({ socket, reason });
  return socket;
}

function announce(socket: OffloadedSocket): void {
  for (const event of ['secureConnect', 'secure']) {
    if (!socket.destroyed) socket.emit(event);
  }
}

/** What is known before the handshake: the connection then costs nothing but plain node:tls. */
function refusalBefore(options: ConnectOptions, off: boolean): KtlsError | null {
  if (off) return new KtlsError('ERR_KTLS_OFF');
  if (options.socket) {
    if (!canTakeOver(options.socket, options)) {
      return new KtlsError('ERR_KTLS_NOT_TCP', "option 'socket'");
    }
  } else if (options.path) {
    return new KtlsError('ERR_KTLS_NOT_TCP', "option 'path'");
  }
  return kernelRefusal();
}

function canTakeOver(stream: Duplex, { ALPNProtocols }: ConnectOptions): boolean {
  if (node.plainTcpHandle(stream) !== null) return true;
  // An http2 session wants to see a handle at once.
  return node.isConnectingTcp(stream) && ALPNProtocols === undefined;
}

/** As net.Socket decides, which takes no notice of what it cannot use. */
function isOwnBuffer(onread: unknown): boolean {
  if (typeof onread !== 'object' || onread === null) return false;
  const { buffer, callback } = onread as Record<keyof OnReadOpts, unknown>;
  const isBuffer = buffer instanceof Uint8Array || typeof buffer === 'function';
  return isBuffer && typeof callback === 'function';
}

/**
 * The signatures of `tls.connect`: `(options)`, `(port[, host][, options])`, `(path[, options])`, each
 * with a callback.
 */
function normalize(args: unknown[]): { options: ConnectOptions; callback?: () => void } {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  let options: ConnectOptions = {};
  const [first, second] = args;
  if (typeof first === 'object' && first !== null) {
    options = { ...first };
  } else if (typeof first === 'string' && !(Number(first) >= 0)) {
    options.path = first;
  } else {
    options.port = first as number;
    if (typeof second === 'string') options.host = second;
  }
  const rest = args.slice(1).find((arg) => typeof arg === 'object' && arg !== null);
  options = { ...options, ...(rest as ConnectOptions | undefined) };
  return callback === undefined ? { options } : { options, callback };
}

function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** `connect`: what `tls.connect` does, under kernel TLS where the host can. */
import type { OnReadOpts, TcpNetConnectOpts } from 'node:net';
import * as tls from 'node:tls';
import { decorate, type UserSpaceSocket } from './decorate.js';
import { KtlsError } from './errors.js';
import { kernelRefusal } from './kernel/probe.js';
import { type OffloadOptions, parseMode, parseRekeyAfter } from './options.js';
import { OffloadedSocket, internal } from './socket/offloaded-socket.js';

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
  port: number,
  options?: ConnectOptions,
  callback?: () => void,
): ClientSocket;
export function connect(...args: unknown[]): ClientSocket {
  const { options, callback } = normalize(args);
  const mode = parseMode(options);
  const rekeyAfter = parseRekeyAfter(options);
  const reason = refusalBefore(options, mode === 'off');
  if (reason !== null && mode !== 'require') {
    return decorate(tls.connect(options, callback), reason);
  }

  const { signal, onread, timeout, ...handshakeOptions } = options;
  const { allowHalfOpen, highWaterMark, noDelay, keepAlive, keepAliveInitialDelay } = options;
  const socket = new OffloadedSocket({
    key: internal,
    mode,
    rekeyAfter,
    onread,
    socket: definedOnly({
      allowHalfOpen,
      signal,
      highWaterMark,
      noDelay,
      keepAlive,
      keepAliveInitialDelay,
    }),
    secured: announce,
  });
  if (callback !== undefined) socket.once('secureConnect', callback);
  if (reason !== null) {
    process.nextTick(() => socket.destroy(reason));
    return socket;
  }
  if (timeout) socket.setTimeout(timeout);
  socket.startClient(handshakeOptions);
  socket.connect(options as TcpNetConnectOpts);
  return socket;
}

function announce(socket: OffloadedSocket): void {
  for (const event of ['connect', 'ready', 'secure', 'secureConnect']) {
    if (!socket.destroyed) socket.emit(event);
  }
}

/** What is known before the handshake: the connection then costs nothing but plain node:tls. */
function refusalBefore(options: ConnectOptions, off: boolean): KtlsError | null {
  if (off) return new KtlsError('ERR_KTLS_OFF');
  if (options.socket !== undefined) return new KtlsError('ERR_KTLS_NOT_TCP', "option 'socket'");
  if (options.path !== undefined) return new KtlsError('ERR_KTLS_NOT_TCP', "option 'path'");
  return kernelRefusal();
}

/** The signatures of `tls.connect`: `(options)`, `(port[, host][, options])`, each with a callback. */
function normalize(args: unknown[]): { options: ConnectOptions; callback?: () => void } {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  let options: ConnectOptions = {};
  const [first, second] = args;
  if (typeof first === 'object' && first !== null) {
    options = { ...first };
  } else {
    options.port = first as number;
    if (typeof second === 'string') options.host = second;
    const rest = args.slice(1).find((arg) => typeof arg === 'object' && arg !== null);
    options = { ...options, ...(rest as ConnectOptions | undefined) };
  }
  return callback === undefined ? { options } : { options, callback };
}

function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

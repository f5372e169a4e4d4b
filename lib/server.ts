/** Servers: node:tls's own, whose accepted connections go under kernel TLS. */
import { Socket } from 'node:net';
import * as tls from 'node:tls';
import { type UserSpaceSocket, decorate } from './decorate.js';
import { publishRefusal } from './diagnostics.js';
import { KtlsError } from './errors.js';
import { type Channel, loadBinding } from './kernel/binding.js';
import { kernelRefusal, ulpRefusal } from './kernel/probe.js';
import { asMereStream } from './nested.js';
import * as node from './node-private.js';
import { type OffloadOptions, type OffloadSettings, parseOffload } from './options.js';
import { OffloadedSocket, internal } from './socket/offloaded-socket.js';

/** node:tls's own, whatever takes its place later on (`ktls/register`). */
const { createServer: createTlsServer } = tls;

/** On a server that offloads, for another copy of this package in the process. */
const MARK = Symbol.for('ktls.offloaded');

/** The servers that offload. Settings that nobody has chosen may still be chosen. */
const offloaded = new WeakMap<tls.Server, { settings: OffloadSettings; chosen: boolean }>();

/** An accepted connection: under kernel TLS, or node:tls's own socket where that cannot be. */
export type ServerSocket = OffloadedSocket | UserSpaceSocket;

/**
 * `tls.createServer`, with all its options and events; accepted connections are offloaded.
 *
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong option of ours, and whatever `tls.createServer` throws.
 */
export function createServer(
  options: tls.TlsOptions & OffloadOptions,
  listener?: (socket: ServerSocket) => void,
): tls.Server;
export function createServer(listener?: (socket: ServerSocket) => void): tls.Server;
export function createServer(
  options?: (tls.TlsOptions & OffloadOptions) | ((socket: ServerSocket) => void),
  listener?: (socket: ServerSocket) => void,
): tls.Server {
  if (typeof options === 'function') return createServer({}, options);
  parseOffload(options);
  // It gets no others: see `offloadWith`.
  const anySocket = listener as ((socket: tls.TLSSocket) => void) | undefined;
  return offload(createTlsServer(options ?? {}, anySocket), options);
}

/**
 * Makes an existing `tls.Server`, `https.Server` or `Http2SecureServer` offload the connections that it
 * accepts from now on. Everything else about the server stays as it is; 'secureConnection' listeners get
 * an `OffloadedSocket`, or node:tls's own socket where kernel TLS cannot be used.
 *
 * With `mode: 'require'` a connection that cannot be offloaded is ended before any application byte, and
 * reported as 'tlsClientError' with the reason.
 *
 * @returns The same server.
 * @throws KtlsError `ERR_KTLS_NOT_A_TLS_SERVER`, `ERR_KTLS_ALREADY_OFFLOADED`.
 * @throws TypeError `ERR_INVALID_ARG_VALUE` for a wrong option of ours.
 */
export function offload<T extends tls.Server>(server: T, options?: OffloadOptions): T {
  const settings = parseOffload(options);
  if (!(server instanceof tls.Server)) throw new KtlsError('ERR_KTLS_NOT_A_TLS_SERVER');
  const entry = offloaded.get(server);
  if (entry?.chosen === true || (entry === undefined && MARK in server)) {
    throw new KtlsError('ERR_KTLS_ALREADY_OFFLOADED');
  }
  if (entry === undefined) offloadWith(server, settings, true);
  else Object.assign(entry, { settings, chosen: true });
  return server;
}

/** @internal `chosen`: by the application, for this server. */
export function offloadWith(server: tls.Server, settings: OffloadSettings, chosen: boolean): void {
  const entry = { settings, chosen };
  const original = node.replaceConnectionListener(server, (raw) => {
    accept(server, original!, raw, entry.settings);
  });
  if (original === undefined) throw new KtlsError('ERR_KTLS_NOT_A_TLS_SERVER');
  offloaded.set(server, entry);
  Object.defineProperty(server, MARK, { value: true });
}

function accept(
  server: tls.Server,
  listener: node.ConnectionListener,
  raw: Socket,
  settings: OffloadSettings,
): void {
  const { mode } = settings;
  const claimed = claim(raw, settings);
  if (!(claimed instanceof KtlsError)) {
    secure(server, listener, raw, settings, claimed);
    return;
  }
  publishRefusal({ socket: raw, reason: claimed });
  if (mode === 'require') {
    node.keepAddresses(raw);
    raw.destroy();
    server.emit('tlsClientError', claimed, raw as tls.TLSSocket);
    return;
  }
  acceptInUserSpace(server, listener, raw, claimed);
}

const ignored = (): void => undefined;

interface Claimed {
  handle: node.TcpHandle;
  channel: Channel;
  onReady: { call: (events: number) => void };
}

/** Attaches the kernel's TLS layer, or says why not; then the accepted socket is untouched. */
function claim(raw: Socket, { mode }: OffloadSettings): Claimed | KtlsError {
  if (mode === 'off') return new KtlsError('ERR_KTLS_OFF');
  const refusal = kernelRefusal();
  if (refusal !== null) return refusal;
  const binding = loadBinding();
  if (binding instanceof Error) return new KtlsError('ERR_KTLS_NO_ADDON', binding.message, binding);
  const handle = node.plainTcpHandle(raw);
  if (handle === null) return new KtlsError('ERR_KTLS_NOT_TCP');
  const onReady: Claimed['onReady'] = { call: () => undefined };
  let channel: Channel;
  try {
    channel = new binding.Channel(handle.fd, (events) => onReady.call(events));
  } catch (error) {
    // No memory, or too many watches (epoll_ctl(2)): one connection's, and no reason to end a server.
    const cause = error as Error;
    return new KtlsError('ERR_KTLS_RESOURCES', cause.message, cause);
  }
  const ulp = channel.attachUlp();
  if (ulp < 0) {
    channel.close();
    return ulpRefusal(ulp);
  }
  return { handle, channel, onReady };
}

function secure(
  server: tls.Server,
  listener: node.ConnectionListener,
  raw: Socket,
  settings: OffloadSettings,
  { handle, channel, onReady }: Claimed,
): void {
  node.claimReading(handle);
  const socket = new OffloadedSocket({
    key: internal,
    settings,
    server,
    socket: { handle, manualStart: true, allowHalfOpen: raw.allowHalfOpen } as object,
    secured: () => {
      if (node.pausesOnConnect(server)) socket.pause();
      server.emit('secureConnection', socket as unknown as tls.TLSSocket);
    },
    rejected: (error) => {
      node.keepAddresses(socket);
      server.emit('tlsClientError', error, socket as unknown as tls.TLSSocket);
    },
  });
  onReady.call = (events) => socket.channelReady(events);
  // As node:tls has one on each socket of a server: who does not listen is not thrown at.
  socket.on('error', ignored);
  socket.startServer(server, listener, raw, channel);
}

function acceptInUserSpace(
  server: tls.Server,
  listener: node.ConnectionListener,
  raw: Socket,
  reason: KtlsError,
): void {
  const facade = node.serverFacade(server, {
    listenerCount: (event) => server.listenerCount(event),
    emit(event, ...args) {
      if (event === 'secureConnection') {
        const socket = args[0] as tls.TLSSocket;
        node.setServer(socket, server);
        decorate(socket, reason);
      }
      return server.emit(event as string, ...args);
    },
  });
  listener.call(facade, asMereStream(raw));
}

/** An ES module that uses the declarations of the built package. Compiled, never run. */
import http2 from 'node:http2';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import ktls, {
  deviceOptions,
  type ClientSocket,
  type ConnectOptions,
  KtlsError,
  type KtlsErrorCode,
  type OffloadMode,
  type OffloadState,
  OffloadedSocket,
  type ServerSocket,
  type TlsCounters,
  connect,
  createServer,
  offload,
  probe,
  stats,
} from 'ktls';
import serveStatic, { type ServeStaticOptions, fastifyStatic } from 'ktls/serve-static';
import express from 'express';
import fastify from 'fastify';

const mode: OffloadMode = 'require';
const options: ConnectOptions = { host: 'localhost', port: 443, mode, ALPNProtocols: ['h2'] };

export const sockets: ClientSocket[] = [
  connect(options),
  connect(options, () => undefined),
  connect(443),
  connect(443, 'localhost'),
  connect(443, 'localhost', { mode: 'off' }, () => undefined),
  connect(443, { servername: 'localhost' }),
  ktls.connect({ port: 443 }),
];

const cut = new Error('cut');
export const clean: boolean | null = sockets[0]!.closeNotifyReceived;
export const sent: Promise<number> = sockets[0]!.sendFile('file');

export const state: OffloadState = sockets[0]!.offload;
export const code: KtlsErrorCode | null = state.reason;
export const counters: TlsCounters | null = stats();
export const refusal: KtlsError | null = probe().reason;

createServer({ key: '', cert: '', mode: 'prefer' }, (socket: TLSSocket) => socket.end()).listen(0);
createServer((socket: ServerSocket) => socket.write('x'));
createServer({}, (socket) => {
  void socket.sendFile('file', { start: 1 }).then((bytes) => bytes.toFixed());
  void socket.updateKeys({ requestPeer: true });
  socket.once('end', () => socket.destroy(socket.closeNotifyReceived === true ? undefined : cut));
});
createServer({ key: '', cert: '', ...deviceOptions });
createServer();
export const server: https.Server = offload(https.createServer(), { mode: 'prefer' });

export function describeError(error: unknown): string {
  if (error instanceof KtlsError && error.code === 'ERR_KTLS_MODULE') return error.message;
  return error instanceof OffloadedSocket ? String(error.encrypted) : 'unknown';
}

const files: ServeStaticOptions = { precompressed: true, dotfiles: 'deny', maxAge: 1000 };
https.createServer({}, serveStatic('public', files));
http2.createSecureServer(serveStatic('public'));
express().use('/files', serveStatic('public'));
void fastify().register(fastifyStatic, { root: 'public', prefix: '/files', ...files });

// @ts-expect-error -- there is no such option
serveStatic('public', { dotFiles: 'allow' });
// @ts-expect-error -- there is no such mode
connect({ port: 443, mode: 'always' });
// @ts-expect-error -- there is no such code
export const wrong: KtlsErrorCode = 'ERR_KTLS_NONSENSE';
// @ts-expect-error -- the state is frozen
state.offloaded = true;
// @ts-expect-error -- this is no TLS server
offload({});

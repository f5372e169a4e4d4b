/**
 * `ktls/register`, for `node --import ktls/register app.js` or `-r`: from here on the TLS connections of
 * this thread, and of the workers it starts, go under kernel TLS: what `tls.connect` makes, and with it
 * https, http2 and fetch, and what every `tls.Server` accepts, and with it `https.Server` and
 * `Http2SecureServer`.
 *
 * `KTLS=off|prefer|require` chooses the mode; `NODE_DEBUG=ktls` says what happens, and why.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import tls from 'node:tls';
import { connectWith } from './connect.js';
import { report } from './diagnostics.js';
import { isLoaded } from './node-private.js';
import { type OffloadSettings, modeOfEnvironment, parseOffload } from './options.js';
import { offloadWith } from './server.js';
import { OffloadedSocket } from './socket/offloaded-socket.js';

const registered = Symbol.for('ktls.registered');

function register(settings: OffloadSettings): void {
  const { mode } = settings;
  // The package may be there twice, or named twice on the command line.
  if (registered in tls) return;
  Object.defineProperty(tls, registered, { value: true });
  if (mode === 'off') {
    report('KTLS=off: node:tls is left as it is');
    return;
  }
  tls.connect = (...args: unknown[]) => connectWith(settings, args);
  Object.defineProperty(tls.connect, 'name', { value: 'connect' });

  // https and http2 call it as the constructor of their own servers.
  const Server = new Proxy(tls.Server, {
    apply(target, server: tls.Server | undefined, args) {
      if (!(server instanceof tls.Server)) return Reflect.construct(Server, args) as tls.Server;
      Reflect.apply(target as unknown as (...args: unknown[]) => void, server, args);
      offloadWherePossible(server, settings);
      return server;
    },
    construct(target, args, newTarget) {
      const server = Reflect.construct(target, args, newTarget) as tls.Server;
      offloadWherePossible(server, settings);
      return server;
    },
  });
  tls.Server = Server;
  tls.createServer = ((...args: ConstructorParameters<typeof tls.Server>) =>
    new Server(...args)) as typeof tls.createServer;
  Object.defineProperty(tls.createServer, 'name', { value: 'createServer' });
  passForTlsSocket();
  if (isLoaded('internal/http2/core')) replaceSecureServer(settings);
  syncBuiltinESMExports();
  report(`node:tls, node:https and node:http2 offload (${mode})`);
}

/** A server whose listener somebody has wrapped (a tracer, say) is none that could be offloaded. */
function offloadWherePossible(server: tls.Server, settings: OffloadSettings): void {
  try {
    offloadWith(server, settings, false);
  } catch (error) {
    if (settings.mode === 'require') throw error;
    report(`a server stays with node:tls: ${(error as Error).message}`);
  }
}

/** http2 was loaded before us, and extends node:tls's own server. */
function replaceSecureServer(settings: OffloadSettings): void {
  const http2 = createRequire(import.meta.url)('node:http2') as typeof import('node:http2');
  const { createSecureServer } = http2;
  http2.createSecureServer = ((...args: Parameters<typeof createSecureServer>) => {
    const server = createSecureServer(...args);
    offloadWherePossible(server, settings);
    return server;
  }) as typeof createSecureServer;
}

/**
 * `socket instanceof tls.TLSSocket` is how programs ask whether a socket is secure, and ours is. What
 * they then wait for ('secureConnect') comes; no byte can leave before it does. Subclasses of TLSSocket
 * stay what they are.
 */
function passForTlsSocket(): void {
  const { TLSSocket } = tls;
  Object.defineProperty(TLSSocket, Symbol.hasInstance, {
    configurable: true,
    value(this: unknown, value: unknown): boolean {
      if (this === TLSSocket && value instanceof OffloadedSocket) return true;
      return Function.prototype[Symbol.hasInstance].call(this, value);
    },
  });
}

register(parseOffload({ mode: modeOfEnvironment() }));

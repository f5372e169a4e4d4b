/** A way to serve or to fetch the same content: what the trials compare. */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Server } from 'node:net';

export interface TlsSettings {
  readonly key: string;
  readonly cert: string;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's name of the one cipher suite. */
  readonly cipher: string;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;
export type Http2Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** A server in Node. */
export interface Driver {
  listen(handler: Handler, tls: TlsSettings): HttpServer;
  listenHttp2(handler: Http2Handler, tls: TlsSettings): Server;
  /** Answers with a whole file; the headers are set. */
  sendFile(response: ServerResponse, path: string): void;
  /** A server, not of HTTP, that returns what it gets. */
  echo(tls: TlsSettings): Server;
}

/**
 * `offload`: the directions of each connection that must go under kernel TLS, or the sample is an error.
 * nginx and s_server leave reading to their OpenSSL, which before 3.2 gives the kernel no TLS 1.3 reading
 * keys.
 */
interface DriverFacts {
  readonly title: string;
  readonly secure: boolean;
  /** node:tls's own, which the others are compared with; ktls; or a peer to measure both by. */
  readonly kind: 'baseline' | 'ktls' | 'peer';
  readonly offload: readonly ('tx' | 'rx')[];
  /** Closes the connection behind each answer. */
  readonly closes?: boolean;
}

export const drivers: Readonly<Record<DriverName, DriverFacts>> = {
  http: { title: 'node:http, no TLS', secure: false, kind: 'peer', offload: [] },
  'http-sendfile': { title: 'node:http, sendFile', secure: false, kind: 'peer', offload: [] },
  https: { title: 'node:https', secure: true, kind: 'baseline', offload: [] },
  ktls: { title: 'ktls', secure: true, kind: 'ktls', offload: ['tx', 'rx'] },
  'ktls-sendfile': {
    title: 'ktls, sendFile',
    secure: true,
    kind: 'ktls',
    offload: ['tx', 'rx'],
  },
  'ktls-no-padding': {
    title: 'ktls, no padding expected',
    secure: true,
    kind: 'ktls',
    offload: ['tx', 'rx'],
  },
  'ktls-fallback': { title: 'ktls, no kernel TLS', secure: true, kind: 'ktls', offload: [] },
  nginx: { title: 'nginx', secure: true, kind: 'peer', offload: [] },
  'nginx-ktls': { title: 'nginx, kernel TLS', secure: true, kind: 'peer', offload: ['tx'] },
  openssl: { title: 's_server', secure: true, kind: 'peer', offload: [], closes: true },
  'openssl-ktls': {
    title: 's_server, kernel TLS',
    secure: true,
    kind: 'peer',
    offload: ['tx'],
    closes: true,
  },
  'tls.connect': { title: 'tls.connect', secure: true, kind: 'baseline', offload: [] },
  'ktls.connect': { title: 'ktls.connect', secure: true, kind: 'ktls', offload: ['tx', 'rx'] },
  'ktls.connect-no-padding': {
    title: 'ktls.connect, no padding expected',
    secure: true,
    kind: 'ktls',
    offload: ['tx', 'rx'],
  },
  undici: { title: 'undici', secure: true, kind: 'baseline', offload: [] },
  'undici-ktls': {
    title: 'undici, ktls.connect',
    secure: true,
    kind: 'ktls',
    offload: ['tx', 'rx'],
  },
};

export type DriverName =
  | 'http'
  | 'http-sendfile'
  | 'https'
  | 'ktls'
  | 'ktls-sendfile'
  | 'ktls-no-padding'
  | 'ktls-fallback'
  | 'nginx'
  | 'nginx-ktls'
  | 'openssl'
  | 'openssl-ktls'
  | 'tls.connect'
  | 'ktls.connect'
  | 'ktls.connect-no-padding'
  | 'undici'
  | 'undici-ktls';

export const isDriverName = (name: string): name is DriverName => Object.hasOwn(drivers, name);

/** What the others are compared with. */
export const isBaseline = (name: DriverName): boolean => drivers[name].kind === 'baseline';
export const isKtls = (name: DriverName): boolean => drivers[name].kind === 'ktls';

/** The options of node:tls for these settings. */
export function tlsOptions({ key, cert, version, cipher }: TlsSettings) {
  return { key, cert, minVersion: version, maxVersion: version, ciphers: cipher };
}

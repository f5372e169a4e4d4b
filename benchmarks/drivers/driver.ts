/** A way to serve or to fetch the same content: what the trials compare. */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Server } from 'node:net';

export interface TlsSettings {
  readonly key: string;
  readonly cert: string;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's name of the one cipher suite. */
  readonly cipher: string;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server in Node. */
export interface Driver {
  listen(handler: Handler, tls: TlsSettings): HttpServer;
  /** Answers with a whole file; the headers are set. */
  sendFile(response: ServerResponse, path: string): void;
  /** A server, not of HTTP, that returns what it gets. */
  echo(tls: TlsSettings): Server;
}

/**
 * `offload`: the directions of each connection that must go under kernel TLS, or the sample is an error.
 * nginx leaves reading to its OpenSSL, which before 3.2 gives the kernel no TLS 1.3 reading keys.
 */
interface DriverFacts {
  readonly title: string;
  readonly secure: boolean;
  readonly offload: readonly ('tx' | 'rx')[];
}

export const drivers = {
  http: { title: 'node:http, no TLS', secure: false, offload: [] },
  https: { title: 'node:https', secure: true, offload: [] },
  ktls: { title: 'ktls', secure: true, offload: ['tx', 'rx'] },
  'ktls-sendfile': { title: 'ktls, sendFile', secure: true, offload: ['tx', 'rx'] },
  'ktls-fallback': { title: 'ktls, no kernel TLS', secure: true, offload: [] },
  nginx: { title: 'nginx', secure: true, offload: [] },
  'nginx-ktls': { title: 'nginx, kernel TLS', secure: true, offload: ['tx'] },
  'tls.connect': { title: 'tls.connect', secure: true, offload: [] },
  'ktls.connect': { title: 'ktls.connect', secure: true, offload: ['tx', 'rx'] },
} as const satisfies Readonly<Record<string, DriverFacts>>;

export type DriverName = keyof typeof drivers;

export const isDriverName = (name: string): name is DriverName => Object.hasOwn(drivers, name);

/** What the others are compared with. */
export const isBaseline = (name: DriverName): boolean => name === 'https' || name === 'tls.connect';

/** The options of node:tls for these settings. */
export function tlsOptions({ key, cert, version, cipher }: TlsSettings) {
  return { key, cert, minVersion: version, maxVersion: version, ciphers: cipher };
}

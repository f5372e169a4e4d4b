/** A way to serve the same content: what the trials compare. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

export interface TlsSettings {
  readonly key: string;
  readonly cert: string;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's name of the one cipher suite. */
  readonly cipher: string;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Driver {
  listen(handler: Handler, tls: TlsSettings): Server;
  /** Answers with a whole file; the headers are set. */
  sendFile(response: ServerResponse, path: string): void;
}

export const driverNames = ['http', 'https', 'ktls'] as const;
export type DriverName = (typeof driverNames)[number];

/** The options of node:tls for these settings. */
export function tlsOptions({ key, cert, version, cipher }: TlsSettings) {
  return { key, cert, minVersion: version, maxVersion: version, ciphers: cipher };
}

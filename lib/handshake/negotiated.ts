/**
 * What a handshake agreed on, taken from node:tls while its TLS object lives: afterwards most of its
 * getters answer null.
 */
import type { CipherNameAndProtocol, TLSSocket } from 'node:tls';

export interface Negotiated {
  readonly protocol: string | null;
  readonly cipher: CipherNameAndProtocol;
  readonly alpnProtocol: string | false | null;
  readonly servername: string | false | null;
  readonly authorized: boolean;
  readonly authorizationError: Error;
}

/** Of SNI; missing in the types of Node. */
export function servernameOf(tls: TLSSocket): string | false | null {
  return (tls as TLSSocket & { servername: string | false | null }).servername;
}

/** Of all connections: what differs between them is few. */
const ciphers = new Map<string, CipherNameAndProtocol>();

/** `tls.getCipher()`, once for all connections that have the same. */
function cipherOf(tls: TLSSocket): CipherNameAndProtocol {
  const cipher = tls.getCipher();
  const { name, standardName, version } = cipher;
  const key = `${name} ${standardName} ${version}`;
  const known = ciphers.get(key);
  if (known === undefined) ciphers.set(key, cipher);
  return known ?? cipher;
}

export function snapshot(tls: TLSSocket): Negotiated {
  return Object.freeze({
    protocol: tls.getProtocol(),
    cipher: cipherOf(tls),
    alpnProtocol: tls.alpnProtocol,
    servername: servernameOf(tls),
    authorized: tls.authorized,
    authorizationError: tls.authorizationError,
  });
}

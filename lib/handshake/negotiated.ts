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

export function snapshot(tls: TLSSocket): Negotiated {
  return Object.freeze({
    protocol: tls.getProtocol(),
    cipher: tls.getCipher(),
    alpnProtocol: tls.alpnProtocol,
    servername: servernameOf(tls),
    authorized: tls.authorized,
    authorizationError: tls.authorizationError,
  });
}

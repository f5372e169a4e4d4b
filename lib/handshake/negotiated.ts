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

export function snapshot(tls: TLSSocket): Negotiated {
  return Object.freeze({
    protocol: tls.getProtocol(),
    cipher: tls.getCipher(),
    alpnProtocol: tls.alpnProtocol,
    servername: tls.servername,
    authorized: tls.authorized,
    authorizationError: tls.authorizationError,
  });
}

/**
 * The methods of `tls.TLSSocket`, over whoever knows the answers: a living TLSSocket or what was kept of
 * one. Its state is what node:tls has as properties; how the socket moves bytes is none of its business.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { X509Certificate } from 'node:crypto';
import type {
  CipherNameAndProtocol,
  DetailedPeerCertificate,
  EphemeralKeyInfo,
  PeerCertificate,
  SecureContext,
  SecureContextOptions,
} from 'node:tls';
import { TLSSocket } from 'node:tls';
import { KtlsError, invalidType, nodeError } from '../errors.js';
import type { Negotiated } from '../handshake/negotiated.js';
import type { TlsFacts } from '../handshake/tls-facts.js';
import { opensslError } from '../tls/openssl-error.js';

export const tlsFacts = Symbol('ktls.tlsFacts');

/** `SSL_R_WRONG_SSL_VERSION`. */
const WRONG_SSL_VERSION = 266;

/** A `net.Socket` that has the types of a `TLSSocket`; what it must then implement is all below. */
const TlsTypedSocket = Socket as unknown as new (options?: SocketConstructorOpts) => TLSSocket;

/** What node:tls has and its types lack. */
interface Untyped {
  setServername(name: string): void;
  setSession(session: Uint8Array | string): void;
}

export abstract class TlsApi extends TlsTypedSocket {
  /** Always true, as on every TLS socket of Node. */
  override readonly encrypted = true;
  /** Whether the peer's certificate was verified. */
  override authorized = false;
  /** Why it was not, or `null`: as with node:tls the type does not say so. */
  override authorizationError: Error = null as unknown as Error;
  /** The protocol chosen by ALPN; `false` if none was, `null` before the handshake is done. */
  override alpnProtocol: string | false | null = null;
  /** The server name of SNI. */
  override servername: string | false | null = null;
  /** True until the connection is secured. */
  secureConnecting = true;

  /** What programs look at that do not know `secureConnecting`. */
  get _secureEstablished(): boolean {
    return !this.secureConnecting;
  }

  /** @internal The connection is secured. */
  protected tlsEstablished(negotiated: Negotiated): void {
    this.authorized = negotiated.authorized;
    this.authorizationError = negotiated.authorizationError;
    this.alpnProtocol = negotiated.alpnProtocol;
    this.servername = negotiated.servername;
    this.secureConnecting = false;
  }

  /** @internal `null` before there is a TLS object. */
  abstract [tlsFacts](): TlsFacts | null;

  get #live(): (TLSSocket & Untyped) | null {
    const facts = this[tlsFacts]();
    return facts instanceof TLSSocket ? (facts as TLSSocket & Untyped) : null;
  }

  override getProtocol(): string | null {
    return this[tlsFacts]()?.getProtocol() ?? null;
  }

  override getCipher(): CipherNameAndProtocol {
    // Without a TLS object it is none, as with node:tls: the type does not say so.
    return this[tlsFacts]()?.getCipher() ?? (null as unknown as CipherNameAndProtocol);
  }

  override getPeerCertificate(detailed: true): DetailedPeerCertificate;
  override getPeerCertificate(detailed?: false): PeerCertificate;
  override getPeerCertificate(detailed?: boolean): PeerCertificate | DetailedPeerCertificate;
  override getPeerCertificate(detailed = false): PeerCertificate | DetailedPeerCertificate {
    const facts = this[tlsFacts]();
    // As with node:tls, whose type does not say so.
    if (facts === null && this.destroyed) return null as unknown as PeerCertificate;
    return facts?.getPeerCertificate(detailed as true) ?? ({} as PeerCertificate);
  }

  override getCertificate(): PeerCertificate | object | null {
    return this[tlsFacts]()?.getCertificate() ?? null;
  }

  override getPeerX509Certificate(): X509Certificate | undefined {
    return this[tlsFacts]()?.getPeerX509Certificate();
  }

  override getX509Certificate(): X509Certificate | undefined {
    return this[tlsFacts]()?.getX509Certificate();
  }

  override isSessionReused(): boolean {
    return this[tlsFacts]()?.isSessionReused() ?? false;
  }

  /**
   * On a TLS 1.3 client as of the last 'session' event: tickets that come while the kernel decrypts are
   * given to node:tls.
   */
  override getSession(): ReturnType<TLSSocket['getSession']> {
    return this[tlsFacts]()?.getSession();
  }

  override getTLSTicket(): ReturnType<TLSSocket['getTLSTicket']> {
    return this[tlsFacts]()?.getTLSTicket();
  }

  override getEphemeralKeyInfo(): EphemeralKeyInfo | object | null {
    return this[tlsFacts]()?.getEphemeralKeyInfo() ?? null;
  }

  override getFinished(): ReturnType<TLSSocket['getFinished']> {
    return this[tlsFacts]()?.getFinished();
  }

  override getPeerFinished(): ReturnType<TLSSocket['getPeerFinished']> {
    return this[tlsFacts]()?.getPeerFinished();
  }

  override getSharedSigalgs(): string[] {
    return this[tlsFacts]()?.getSharedSigalgs() ?? [];
  }

  /**
   * RFC 5705, RFC 8446 section 7.5.
   *
   * @throws Error `ERR_TLS_INVALID_STATE` before the connection is secured and after it is closed.
   */
  override exportKeyingMaterial(
    length: number,
    label: string,
    context?: Buffer,
  ): ReturnType<TLSSocket['exportKeyingMaterial']> {
    const facts = this[tlsFacts]();
    if (facts === null || this.secureConnecting || this.destroyed) {
      throw nodeError(
        'ERR_TLS_INVALID_STATE',
        'TLS socket connection must be securely established',
      );
    }
    return facts.exportKeyingMaterial(length, label, context) as ReturnType<
      TLSSocket['exportKeyingMaterial']
    >;
  }

  /**
   * Kernel TLS never renegotiates: the callback gets `ERR_KTLS_RENEGOTIATION`, or node:tls's own error where
   * that could not either, which is in TLS 1.3. Where node:tls carries the connection it is node:tls's own.
   */
  override renegotiate(
    options: { rejectUnauthorized?: boolean | undefined; requestCert?: boolean | undefined },
    callback: (err: Error | null) => void,
  ): undefined | boolean {
    if (typeof options !== 'object' || (options as unknown) === null) {
      throw invalidType('options', 'of type object', options);
    }
    if ((callback as unknown) !== undefined && typeof callback !== 'function') {
      throw invalidType('callback', 'of type function', callback);
    }
    if (this.destroyed) return undefined;
    if (this.carriedByNode) return this.#live!.renegotiate(options, callback);
    const tls13 = this.getProtocol() === 'TLSv1.3';
    const error = tls13
      ? opensslError('wrong ssl version', WRONG_SSL_VERSION)
      : new KtlsError('ERR_KTLS_RENEGOTIATION');
    process.nextTick(callback, error);
    return false;
  }

  /** A peer's attempt is declined in any case, with the alert `no_renegotiation`. */
  override disableRenegotiation(): void {
    this.#live?.disableRenegotiation();
  }

  /** Traces the handshake, if there still is one; what the kernel does later goes untraced. */
  override enableTrace(): void {
    this.#live?.enableTrace();
  }

  /** A client's session to resume, until its TCP connection stands; the option `session` says the same. */
  setSession(session: Uint8Array | string): void {
    this.#live?.setSession(session);
  }

  /**
   * The server's name for SNI, until the TCP connection stands.
   *
   * @throws Error `ERR_TLS_SNI_FROM_SERVER` on a server.
   */
  setServername(name: string): void {
    if (this.#live !== null) this.#live.setServername(name);
    else if (this.isServer) {
      throw nodeError('ERR_TLS_SNI_FROM_SERVER', 'Cannot issue SNI from a TLS server-side socket');
    }
  }

  /** Of use within `ALPNCallback`, while the handshake runs. */
  override setKeyCert(context: SecureContextOptions | SecureContext): void {
    this.#live?.setKeyCert(context);
  }

  /** @internal */
  protected abstract get isServer(): boolean;
  /** @internal Whether node:tls carries the connection, for good. */
  protected abstract get carriedByNode(): boolean;
}

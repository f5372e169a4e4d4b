/**
 * The getters of `tls.TLSSocket`. While a TLS object lives its own TLSSocket answers them: during the
 * handshake, on a client for as long as the socket is open, and where node:tls carries the connection. A
 * server's TLS object is freed at the hand-over; what it knew is kept here.
 */
import type { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { invalidType, nodeError, outOfRange } from '../errors.js';
import { soleCertificateOf } from '../node-private.js';
import type { Exporter } from '../tls/exporter.js';
import { allocateSecret, copySecret } from '../tls/secret.js';
import type { Negotiated } from './negotiated.js';

export type TlsFacts = Pick<
  TLSSocket,
  | 'getCertificate'
  | 'getCipher'
  | 'getEphemeralKeyInfo'
  | 'getFinished'
  | 'getPeerCertificate'
  | 'getPeerFinished'
  | 'getPeerX509Certificate'
  | 'getProtocol'
  | 'getSession'
  | 'getSharedSigalgs'
  | 'getTLSTicket'
  | 'getX509Certificate'
  | 'isSessionReused'
> & {
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer;
};

const ownCertificates = new WeakMap<object, X509Certificate | undefined>();

/** node:tls encodes and decodes the certificate each time, which is a good part of a handshake's cost. */
function ownCertificate(tls: TLSSocket): X509Certificate | undefined {
  const source = soleCertificateOf(tls);
  if (source === null) return tls.getX509Certificate();
  if (!ownCertificates.has(source)) ownCertificates.set(source, tls.getX509Certificate());
  return ownCertificates.get(source);
}

const nothing = Buffer.alloc(0);

/** The same string again, if it was so the last time, which it mostly is. */
function shared(names: string): string {
  if (names !== lastNames) lastNames = names;
  return lastNames;
}
let lastNames = '';

/** Of a server. The session and the exporter's secret are wiped when the socket closes. */
export class ServerFacts implements TlsFacts {
  readonly #exporter: Exporter | null;
  readonly #negotiated: Negotiated;
  readonly #reused;
  /**
   * The session, which is a secret, a ticket and both Finished, one behind the other: a Buffer of its own takes
   * 200 bytes more than it holds.
   */
  readonly #kept: Buffer;
  /** Where the first three of them end. */
  readonly #session: number;
  readonly #ticket: number;
  readonly #finished: number;
  #wiped = false;
  /** Their names, by commas: one string takes less room than a dozen. */
  readonly #sigalgs: string;
  readonly #certificate: X509Certificate | undefined;
  readonly #peerCertificate: DetailedPeerCertificate;
  readonly #peerX509: X509Certificate | undefined;

  constructor(tls: TLSSocket, negotiated: Negotiated, exporter: Exporter | null) {
    this.#exporter = exporter;
    this.#negotiated = negotiated;
    this.#reused = tls.isSessionReused();
    this.#sigalgs = shared(tls.getSharedSigalgs().join());
    const session = tls.getSession() ?? nothing;
    const ticket = tls.getTLSTicket() ?? nothing;
    const finished = tls.getFinished() ?? nothing;
    const peerFinished = tls.getPeerFinished() ?? nothing;
    this.#session = session.length;
    this.#ticket = this.#session + ticket.length;
    this.#finished = this.#ticket + finished.length;
    this.#kept = allocateSecret(this.#finished + peerFinished.length);
    this.#kept.set(session);
    session.fill(0);
    this.#kept.set(ticket, this.#session);
    this.#kept.set(finished, this.#ticket);
    this.#kept.set(peerFinished, this.#finished);
    this.#certificate = ownCertificate(tls);
    this.#peerX509 = tls.getPeerX509Certificate();
    this.#peerCertificate =
      this.#peerX509 === undefined ? ({} as DetailedPeerCertificate) : tls.getPeerCertificate(true);
  }

  getCertificate(): PeerCertificate | object | null {
    return this.#certificate?.toLegacyObject() ?? {};
  }

  getX509Certificate(): X509Certificate | undefined {
    return this.#certificate;
  }

  getPeerCertificate(detailed: true): DetailedPeerCertificate;
  getPeerCertificate(detailed?: false): PeerCertificate;
  getPeerCertificate(detailed?: boolean): PeerCertificate | DetailedPeerCertificate {
    if (detailed === true) return this.#peerCertificate;
    const { issuerCertificate: _, ...plain } = this.#peerCertificate;
    return plain;
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return this.#peerX509;
  }

  getCipher() {
    return { ...this.#negotiated.cipher };
  }

  getProtocol(): string | null {
    return this.#negotiated.protocol;
  }

  isSessionReused(): boolean {
    return this.#reused;
  }

  getFinished() {
    return this.#copy(this.#ticket, this.#finished);
  }

  getPeerFinished() {
    return this.#copy(this.#finished, this.#kept.length);
  }

  getSharedSigalgs(): string[] {
    return this.#sigalgs === '' ? [] : this.#sigalgs.split(',');
  }

  getTLSTicket() {
    return this.#copy(this.#session, this.#ticket);
  }

  getSession() {
    return this.#wiped ? undefined : this.#copy(0, this.#session);
  }

  #copy(start: number, end: number) {
    return end > start ? copySecret(this.#kept.subarray(start, end)) : undefined;
  }

  /** Only a client has them. */
  getEphemeralKeyInfo(): null {
    return null;
  }

  /** Arguments are checked, and wrong ones refused, as node:tls does it. */
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer {
    if (typeof length !== 'number') throw invalidType('length', 'of type number', length);
    if (!Number.isInteger(length) || length < 1 || length > 0xffffffff) {
      throw outOfRange('length', 'an integer from 1 to 4294967295', length);
    }
    if (typeof label !== 'string') throw invalidType('label', 'of type string', label);
    if (context !== undefined && !ArrayBuffer.isView(context)) {
      throw invalidType('context', 'an instance of Buffer, TypedArray, or DataView', context);
    }
    const exporter = this.#exporter;
    if (exporter === null || exporter.wiped) {
      throw nodeError(
        'ERR_TLS_INVALID_STATE',
        'TLS socket connection must be securely established',
      );
    }
    const exported = exporter.export(length, label, context);
    if (exported === null) {
      throw nodeError('ERR_SSL_TLS_ILLEGAL_EXPORTER_LABEL', 'tls illegal exporter label');
    }
    return exported;
  }

  wipe(): void {
    this.#exporter?.wipe();
    this.#kept.fill(0, 0, this.#session);
    this.#wiped = true;
  }
}

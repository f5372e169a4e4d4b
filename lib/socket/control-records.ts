/**
 * What a record that carries no application data means for the connection. It decides and does not act:
 * the socket sends the alert, ends or goes on.
 */
import * as tls from 'node:tls';
import { KtlsError } from '../errors.js';
import {
  AlertDescription,
  AlertLevel,
  alertError,
  alertMeaning,
  parseAlert,
} from '../tls/alerts.js';
import { ContentType, HandshakeType, ProtocolVersion } from '../tls/constants.js';
import { type PostHandshakeMessage, PostHandshakeParser } from '../tls/post-handshake.js';

/** `alert` is the description of the fatal alert to send to the peer, if any. */
export type Verdict =
  | { kind: 'continue' }
  | { kind: 'closeNotify' }
  | { kind: 'warn'; alert: number }
  /** A client's NewSessionTicket, header included. */
  | { kind: 'ticket'; message: Buffer }
  /** The peer's next record is under its next key. Nothing follows in this record. */
  | { kind: 'keyUpdate'; updateRequested: boolean }
  /** By its first byte the record is a KeyUpdate, and none ends in it: the next one is under the same key. */
  | { kind: 'sameKey' }
  | { kind: 'fail'; error: Error; alert: number | null };

const CONTINUE: Verdict = { kind: 'continue' };

/**
 * Records without data, and messages in them, that may come in a row. OpenSSL allows 5 warning alerts and 32
 * empty records; a server may send a handful of tickets.
 */
const MOST_IN_A_ROW = 64;

const fail = (error: Error, alert: number | null): Verdict => ({ kind: 'fail', error, alert });

export class ControlRecords {
  readonly #isServer: boolean;
  readonly #version: number;
  /** There while a message is under way: most connections never have one. */
  #parser: PostHandshakeParser | null = null;
  #inARow = 0;
  /** Requests to renegotiate, data among them or not, since `#askedFrom`. */
  #asked = 0;
  #askedFrom = 0;

  constructor(isServer: boolean, version: number) {
    this.#isServer = isServer;
    this.#version = version;
  }

  /** Application data came: a run of control records is over. */
  dataArrived(): Verdict {
    this.#inARow = 0;
    return this.withinMessage ? unexpected('data within a handshake message') : CONTINUE;
  }

  /** Whether a handshake message has begun that is not over: no data may come next. */
  get withinMessage(): boolean {
    return this.#parser?.pending === true;
  }

  /**
   * @returns one verdict for each message that ends in this record, in order, and perhaps `sameKey`; what stands
   * behind 'fail' is not to be acted upon.
   */
  judge(type: number, payload: Buffer): Verdict[] {
    if (++this.#inARow > MOST_IN_A_ROW) return [flood()];
    switch (type) {
      case ContentType.alert:
        return [this.#alert(payload)];
      case ContentType.handshake:
        return this.#handshake(payload);
      default:
        return [unexpected(`record type ${type}`)];
    }
  }

  #handshake(payload: Buffer): Verdict[] {
    const verdicts: Verdict[] = [];
    const parser = (this.#parser ??= new PostHandshakeParser());
    const messages = parser.push(payload);
    if (!parser.pending && !parser.stopped) this.#parser = null;
    for (const message of messages) {
      // The record has been counted, so that its first message goes for nothing.
      if (verdicts.length > 0) this.#inARow++;
      const verdict = this.#inARow > MOST_IN_A_ROW ? flood() : this.#message(message);
      verdicts.push(verdict);
      if (verdict.kind === 'fail') break;
    }
    if (this.#looksLikeKeyUpdate(payload) && !verdicts.some(({ kind }) => kind === 'keyUpdate')) {
      verdicts.push({ kind: 'sameKey' });
    }
    return verdicts;
  }

  #looksLikeKeyUpdate(payload: Buffer): boolean {
    return this.#version === ProtocolVersion.TLS13 && payload[0] === HandshakeType.keyUpdate;
  }

  /**
   * Declined each time, which costs a record sent: a server bears as many from a client, in as much time, as one
   * of node:tls.
   */
  #renegotiation(): Verdict {
    const now = performance.now();
    if (now - this.#askedFrom >= tls.CLIENT_RENEG_WINDOW * 1000) {
      this.#asked = 0;
      this.#askedFrom = now;
    }
    const most = this.#isServer ? tls.CLIENT_RENEG_LIMIT : MOST_IN_A_ROW;
    if (++this.#asked > most) return flood();
    return { kind: 'warn', alert: AlertDescription.noRenegotiation };
  }

  #alert(payload: Buffer): Verdict {
    const alert = parseAlert(payload);
    if (alert === null) {
      const error = new KtlsError('ERR_KTLS_UNEXPECTED_RECORD', 'malformed alert');
      return fail(error, AlertDescription.decodeError);
    }
    switch (alertMeaning(this.#version, alert)) {
      case 'close-notify':
        return { kind: 'closeNotify' };
      case 'ignored':
        return CONTINUE;
      case 'fatal': {
        // The level says nothing in TLS 1.3.
        const tls13 = this.#version === ProtocolVersion.TLS13;
        return fail(alertError(tls13 ? AlertLevel.fatal : alert.level, alert.description), null);
      }
    }
  }

  #message(message: PostHandshakeMessage): Verdict {
    const tls13 = this.#version === ProtocolVersion.TLS13;
    switch (message.kind) {
      case 'key-update':
        if (!tls13) return unexpected(message.kind);
        return { kind: 'keyUpdate', updateRequested: message.updateRequested };
      case 'new-session-ticket':
        if (!tls13 || this.#isServer) return unexpected(message.kind);
        return { kind: 'ticket', message: message.raw };
      case 'hello-request':
      case 'client-hello':
        // RFC 5246 section 7.4.1.1: a renegotiation may be declined with a warning.
        if (tls13 || this.#isServer !== (message.kind === 'client-hello')) {
          return unexpected(message.kind);
        }
        return this.#renegotiation();
      case 'invalid':
        return fail(new KtlsError('ERR_KTLS_UNEXPECTED_RECORD', message.detail), message.alert);
      case 'unexpected':
        return unexpected(`handshake message ${message.type}`);
    }
  }
}

const flood = (): Verdict =>
  fail(new KtlsError('ERR_KTLS_RECORD_FLOOD'), AlertDescription.unexpectedMessage);

function unexpected(what: string): Verdict {
  return fail(
    new KtlsError('ERR_KTLS_UNEXPECTED_RECORD', what),
    AlertDescription.unexpectedMessage,
  );
}

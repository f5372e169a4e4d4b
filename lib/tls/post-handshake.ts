/**
 * Handshake messages that come after the handshake, out of decrypted type-22 records: tickets, key
 * updates, attempts to renegotiate. It says what came and what alert a wrong message earns; it neither
 * acts nor knows the version or the side, which decide whether a message is welcome.
 */
import { AlertDescription } from './alerts.js';
import { HandshakeType, handshakeHeaderLength } from './constants.js';
import { HandshakeAssembler, type HandshakeMessage } from './handshake-assembler.js';

export type PostHandshakeMessage =
  /** RFC 8446 section 4.6.1. `raw` has the 4-byte header and memory of its own. */
  | { readonly kind: 'new-session-ticket'; readonly raw: Buffer }
  /** RFC 8446 section 4.6.3; the last message of its record. */
  | { readonly kind: 'key-update'; readonly updateRequested: boolean }
  /** TLS 1.2: the server wants to renegotiate. */
  | { readonly kind: 'hello-request' }
  /** TLS 1.2: the client wants to renegotiate. */
  | { readonly kind: 'client-hello' }
  /** Any other type. The connection is to end with `unexpected_message`. */
  | { readonly kind: 'unexpected'; readonly type: number }
  /** Not as the RFC has it. The connection is to end with this alert. */
  | { readonly kind: 'invalid'; readonly alert: number; readonly detail: string };

/** The most a NewSessionTicket can hold: OpenSSL's `SESSION_TICKET_MAX_LENGTH_TLS13`. */
const maxMessageLength = 131_338;

const kept: readonly number[] = [
  HandshakeType.newSessionTicket,
  HandshakeType.keyUpdate,
  HandshakeType.helloRequest,
];

/** One for each direction read. Never throws; holds at most about 128 KiB, and only as much as came. */
export class PostHandshakeParser {
  // A ClientHello or an unexpected message is reported when it is whole, but never stored.
  readonly #assembler = new HandshakeAssembler({
    maxLength: maxMessageLength,
    wants: (type) => kept.includes(type),
  });
  #stopped = false;

  /**
   * A message has begun and its end is still to come. Nothing but more handshake records may follow
   * then: RFC 8446 section 5.1, "handshake messages MUST NOT be interleaved with other record types".
   */
  get pending(): boolean {
    return this.#assembler.pending;
  }

  /** An 'invalid' or 'unexpected' message was the last that this parser reports. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * @param payload the whole plaintext of one handshake record.
   * @returns the messages that end in it, in order.
   */
  push(payload: Uint8Array): PostHandshakeMessage[] {
    if (this.#stopped) return [];
    if (payload.length === 0) {
      // RFC 8446 section 5.1: "Implementations MUST NOT send zero-length fragments of Handshake types".
      this.#stopped = true;
      return [invalid(AlertDescription.unexpectedMessage, 'an empty handshake record')];
    }
    const found: PostHandshakeMessage[] = [];
    const messages = this.#assembler.push(payload);
    for (const [index, message] of messages.entries()) {
      const followed = index < messages.length - 1 || this.#assembler.pending;
      const interpreted = interpret(message, followed);
      found.push(interpreted);
      if (interpreted.kind === 'invalid' || interpreted.kind === 'unexpected') {
        this.#stopped = true;
        return found;
      }
    }
    if (this.#assembler.oversized) {
      this.#stopped = true;
      found.push(invalid(AlertDescription.illegalParameter, 'a handshake message too long'));
    }
    return found;
  }
}

function interpret({ type, raw }: HandshakeMessage, followed: boolean): PostHandshakeMessage {
  switch (type) {
    case HandshakeType.newSessionTicket:
      return { kind: 'new-session-ticket', raw: raw! };
    case HandshakeType.keyUpdate:
      return keyUpdate(raw!.subarray(handshakeHeaderLength), followed);
    case HandshakeType.helloRequest:
      if (raw!.length === handshakeHeaderLength) return { kind: 'hello-request' };
      return invalid(AlertDescription.decodeError, 'a HelloRequest with a body');
    case HandshakeType.clientHello:
      return { kind: 'client-hello' };
    default:
      return { kind: 'unexpected', type };
  }
}

function keyUpdate(body: Buffer, followed: boolean): PostHandshakeMessage {
  if (body.length !== 1) {
    return invalid(AlertDescription.decodeError, 'a KeyUpdate of a wrong length');
  }
  // RFC 8446 section 4.6.3: "If an implementation receives any other value, it MUST terminate the
  // connection with an "illegal_parameter" alert."
  if (body[0]! > 1) {
    return invalid(AlertDescription.illegalParameter, 'a KeyUpdate with an unknown request');
  }
  // RFC 8446 section 5.1: "Handshake messages MUST NOT span key changes", so nothing of a next
  // message can stand in the record of a KeyUpdate.
  if (followed) {
    return invalid(AlertDescription.unexpectedMessage, 'data after a KeyUpdate');
  }
  return { kind: 'key-update', updateRequested: body[0] === 1 };
}

function invalid(alert: number, detail: string): PostHandshakeMessage {
  return { kind: 'invalid', alert, detail };
}

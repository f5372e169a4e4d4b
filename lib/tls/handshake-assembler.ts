/**
 * Handshake framing (RFC 8446 section 4): finds the messages in the payload of handshake records,
 * which may hold several or a part of one. It does not look inside a message, and buffers only the
 * types its owner wants.
 */
import { handshakeHeaderLength } from './constants.js';

export interface HandshakeMessage {
  readonly type: number;
  /** The message, header included, in memory of its own; `null` for a type that was not wanted. */
  readonly raw: Buffer | null;
}

export interface AssemblerOptions {
  /** Longest body, in bytes, that a wanted message may have. */
  readonly maxLength: number;
  /** Whether a message of this type is to be kept; any other is skipped, whatever its length. */
  readonly wants: (type: number) => boolean;
}

/** Never throws. Holds no more than twice what has come of one message, and at most `maxLength`. */
export class HandshakeAssembler {
  readonly #options: AssemblerOptions;
  readonly #header = Buffer.alloc(handshakeHeaderLength);
  #headerFill = 0;
  #length = 0;
  #remaining = 0;
  #message: Buffer | null = null;
  #oversized = false;

  constructor(options: AssemblerOptions) {
    this.#options = options;
  }

  /** A message has begun and not ended. */
  get pending(): boolean {
    return this.#headerFill > 0;
  }

  /** A wanted message was longer than allowed; everything after its header is ignored. */
  get oversized(): boolean {
    return this.#oversized;
  }

  /** @returns the messages that end in this piece of payload, in order. */
  push(payload: Uint8Array): HandshakeMessage[] {
    const messages: HandshakeMessage[] = [];
    if (this.#oversized) return messages;
    let offset = 0;
    while (offset < payload.length) {
      if (this.#headerFill < handshakeHeaderLength) {
        this.#header[this.#headerFill++] = payload[offset++]!;
        if (this.#headerFill < handshakeHeaderLength) continue;
        if (!this.#begin()) return messages;
      } else {
        const piece = payload.subarray(offset, offset + this.#remaining);
        offset += piece.length;
        this.#take(piece);
      }
      if (this.#remaining === 0) messages.push(this.#end());
    }
    return messages;
  }

  /** @returns false for a message that is too long to keep. */
  #begin(): boolean {
    const type = this.#header[0]!;
    this.#length = this.#remaining = this.#header.readUIntBE(1, 3);
    if (!this.#options.wants(type)) return true;
    this.#oversized = this.#length > this.#options.maxLength;
    if (this.#oversized) return false;
    this.#message = Buffer.alloc(handshakeHeaderLength + Math.min(this.#length, 256));
    this.#header.copy(this.#message);
    return true;
  }

  #take(piece: Uint8Array): void {
    const filled = handshakeHeaderLength + this.#length - this.#remaining;
    this.#remaining -= piece.length;
    if (this.#message === null) return;
    const needed = filled + piece.length;
    if (needed > this.#message.length) {
      // Grown by what has come, not by what the peer announced: a lie about the length costs us nothing.
      const whole = handshakeHeaderLength + this.#length;
      const grown = Buffer.alloc(Math.min(whole, Math.max(needed, 2 * this.#message.length)));
      this.#message.copy(grown);
      this.#message = grown;
    }
    this.#message.set(piece, filled);
  }

  #end(): HandshakeMessage {
    const message = { type: this.#header[0]!, raw: this.#message };
    this.#headerFill = 0;
    this.#message = null;
    return message;
  }
}

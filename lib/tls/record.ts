/**
 * Record framing (RFC 8446 section 5.1): finds the records in a byte stream that comes in any pieces.
 * It does not decrypt, does not keep or copy payload (but for a record's first bytes) and does not
 * judge what the records mean.
 */
import { maxRecordPayloadLength, recordHeaderLength } from './constants.js';

/** Payload bytes kept of each record: as long as the explicit nonce of TLS 1.2 GCM and CCM. */
export const recordPrefixLength = 8;

export interface ScannedRecord {
  readonly contentType: number;
  /** Payload bytes, header not counted. */
  readonly length: number;
  /** A copy of the first `recordPrefixLength` payload bytes, or of all if there are fewer. */
  readonly prefix: Buffer;
}

/** Gets each piece of each record's payload as it passes, as a view that is not to be kept. */
export type FragmentListener = (contentType: number, fragment: Uint8Array) => void;

/** Holds at most 13 bytes between calls and never throws; what its listener throws is passed on. */
export class RecordScanner {
  readonly #header = Buffer.alloc(recordHeaderLength);
  readonly #prefix = Buffer.alloc(recordPrefixLength);
  readonly #onFragment: FragmentListener | undefined;
  #headerFill = 0;
  #prefixFill = 0;
  #length = 0;
  #remaining = 0;
  #malformed = false;

  constructor(onFragment?: FragmentListener) {
    this.#onFragment = onFragment;
  }

  /** The stream stopped being TLS records; everything after that is ignored. */
  get malformed(): boolean {
    return this.#malformed;
  }

  /** All that was pushed is whole records: not one byte of a next one has been seen. */
  get atBoundary(): boolean {
    return this.#headerFill === 0 && !this.#malformed;
  }

  /** @returns the records that end in this chunk, in order. */
  push(chunk: Uint8Array): ScannedRecord[] {
    const records: ScannedRecord[] = [];
    if (this.#malformed) return records;
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#headerFill < recordHeaderLength) {
        this.#header[this.#headerFill++] = chunk[offset++]!;
        if (this.#headerFill < recordHeaderLength) continue;
        if (!this.#begin()) return records;
      } else {
        const fragment = chunk.subarray(offset, offset + this.#remaining);
        offset += fragment.length;
        this.#take(fragment);
      }
      if (this.#remaining === 0) records.push(this.#end());
    }
    return records;
  }

  /** @returns false if these five bytes are no header of a TLS record. */
  #begin(): boolean {
    this.#length = this.#remaining = payloadLength(this.#header);
    this.#malformed = !isHeader(this.#header);
    return !this.#malformed;
  }

  #take(fragment: Uint8Array): void {
    this.#remaining -= fragment.length;
    if (this.#prefixFill < recordPrefixLength) {
      const wanted = fragment.subarray(0, recordPrefixLength - this.#prefixFill);
      this.#prefix.set(wanted, this.#prefixFill);
      this.#prefixFill += wanted.length;
    }
    this.#onFragment?.(this.#header[0]!, fragment);
  }

  #end(): ScannedRecord {
    const record = {
      contentType: this.#header[0]!,
      length: this.#length,
      prefix: Buffer.from(this.#prefix.subarray(0, this.#prefixFill)),
    };
    this.#headerFill = this.#prefixFill = 0;
    return record;
  }
}

/** Whether these bytes are one record, no more and no less. */
export function isRecord(bytes: Uint8Array): boolean {
  return (
    bytes.length >= recordHeaderLength &&
    isHeader(bytes) &&
    bytes.length === recordHeaderLength + payloadLength(bytes)
  );
}

function isHeader(bytes: Uint8Array): boolean {
  const type = bytes[0]!;
  // 24 is heartbeat (RFC 6520): real, if obsolete. The major version is 3 for all of TLS.
  const known = type >= 20 && type <= 24 && bytes[1] === 3;
  return known && payloadLength(bytes) <= maxRecordPayloadLength;
}

const payloadLength = (header: Uint8Array): number => header[3]! * 256 + header[4]!;

/**
 * The header of a protected record. Its version field says 1.2 for TLS 1.3 as well (RFC 8446 section
 * 5.2).
 * @param length payload bytes.
 * @throws RangeError if no record can be that long.
 */
export function buildRecordHeader(contentType: number, length: number): Buffer {
  if (!Number.isInteger(length) || length < 0 || length > maxRecordPayloadLength) {
    throw new RangeError(`no TLS record has a payload of ${length} bytes`);
  }
  return Buffer.from([contentType, 3, 3, length >> 8, length & 0xff]);
}

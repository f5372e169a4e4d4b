/** Raw options to frozen types. The only place that throws for a wrong option of ours. */
import { invalidArgument } from './errors.js';

/**
 * `prefer`: under kernel TLS where possible, else node:tls. `require`: a connection that cannot be
 * offloaded fails before any application byte. `off`: node:tls, always.
 */
export type OffloadMode = 'prefer' | 'require' | 'off';

/** Options of this library, beside those of node:tls. */
export interface OffloadOptions {
  /** Default `'prefer'`. */
  mode?: OffloadMode | undefined;
  /**
   * TLS 1.3: the number of records after which our own key is changed (RFC 8446 section 5.5), looked at
   * ahead of each write. Default 2^23, a third of what AES-GCM may protect. Kernels that cannot change keys
   * (before 6.14) go on, as node:tls does.
   */
  rekeyAfter?: number | undefined;
  /**
   * TLS 1.3: the peer is trusted not to pad its records, so that the kernel decrypts them straight into the
   * reader's buffer (`TLS_RX_EXPECT_NO_PAD`, Linux 6.0), which takes a third off the cost of receiving. A
   * padded record is decrypted twice, and none is lost: kernels that take padding for data then
   * (CVE-2026-74611) are found out and not told. Default `false`: a peer that means ill doubles the work of
   * its receiver.
   */
  expectNoPadding?: boolean | undefined;
}

/** `OffloadOptions`, complete. */
export interface OffloadSettings {
  readonly mode: OffloadMode;
  readonly rekeyAfter: number;
  readonly expectNoPadding: boolean;
}

export const defaultRekeyAfter = 2 ** 23;

/** @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function parseOffload(options: OffloadOptions | undefined): OffloadSettings {
  const mode = checkMode("option 'mode'", options?.mode ?? 'prefer');
  const rekeyAfter = checkRekeyAfter(options?.rekeyAfter ?? defaultRekeyAfter);
  const expectNoPadding: unknown = options?.expectNoPadding ?? false;
  if (typeof expectNoPadding !== 'boolean') {
    throw invalidArgument("option 'expectNoPadding'", 'must be a boolean', expectNoPadding);
  }
  return { mode, rekeyAfter, expectNoPadding };
}

/** `KTLS=off|prefer|require`. @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function modeOfEnvironment(): OffloadMode {
  const { KTLS: mode = '' } = process.env;
  return checkMode("environment variable 'KTLS'", mode === '' ? 'prefer' : mode);
}

function checkMode(name: string, mode: unknown): OffloadMode {
  if (mode === 'prefer' || mode === 'require' || mode === 'off') return mode;
  throw invalidArgument(name, "must be 'prefer', 'require' or 'off'", mode);
}

function checkRekeyAfter(records: unknown): number {
  if (typeof records === 'number' && Number.isSafeInteger(records) && records >= 1) return records;
  throw invalidArgument("option 'rekeyAfter'", 'must be a positive integer', records);
}

/** The part of a file that is meant. `end` is inclusive; `null`: to the end of the file. */
export interface SendFileRange {
  readonly start: number;
  readonly end: number | null;
}

/** What `sendFile` was asked for. */
export interface SendFileOptions extends SendFileRange {
  readonly signal: AbortSignal | undefined;
  /** Bytes that one work item of the thread pool sends at most. */
  readonly chunkSize: number;
  readonly immutable: boolean;
  readonly onProgress: ((bytes: number) => void) | undefined;
}

/** The options of `sendFile`. */
export interface SendFileInit {
  /** The first byte, as in `fs.createReadStream`. Default 0. */
  start?: number | undefined;
  /** The last byte, inclusive as in `fs.createReadStream`. Default: the last one of the file. */
  end?: number | undefined;
  /**
   * Aborts the transfer. Before its turn has come it is only left out; later the connection is ended, since
   * the peer could not know where the file stops.
   */
  signal?: AbortSignal | undefined;
  /** Bytes sent before other transfers get their turn. Default 524,288. */
  highWaterMark?: number | undefined;
  /**
   * The file will not change while it is sent, nor until the peer has acknowledged it. Where a network card
   * encrypts (`socket.offload.tx === 'device'`) the kernel then leaves out its copy
   * (`TLS_TX_ZEROCOPY_RO`). If the file does change the peer gets records that do not authenticate.
   */
  immutable?: boolean | undefined;
  /** Called now and then while the file is being sent, with the number of bytes sent so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

const CHUNK_SIZE = 512 * 1024;

/** @throws TypeError `ERR_INVALID_ARG_VALUE` */
export function parseSendFile(init: SendFileInit = {}): SendFileOptions {
  const { start = 0, end, signal, highWaterMark = CHUNK_SIZE } = init;
  const { immutable = false, onProgress } = init;
  const position = (name: string, value: number, least: number): void => {
    if (!Number.isSafeInteger(value) || value < least) {
      throw invalidArgument(`option '${name}'`, `must be an integer of at least ${least}`, value);
    }
  };
  position('start', start, 0);
  // As fs.createReadStream has it, which takes Infinity for the end of the file.
  if (end !== undefined && end !== Infinity) position('end', end, start);
  position('highWaterMark', highWaterMark, 1);
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal)) {
    throw invalidArgument("option 'signal'", 'must be an AbortSignal', signal);
  }
  if (typeof (immutable as unknown) !== 'boolean') {
    throw invalidArgument("option 'immutable'", 'must be a boolean', immutable);
  }
  if (onProgress !== undefined && typeof (onProgress as unknown) !== 'function') {
    throw invalidArgument("option 'onProgress'", 'must be a function', onProgress);
  }
  const last = end === undefined || end === Infinity ? null : end;
  return Object.freeze({
    start,
    end: last,
    signal,
    chunkSize: highWaterMark,
    immutable,
    onProgress,
  });
}

/**
 * Every error this library makes: the table of `ERR_KTLS_*` codes (each a heading in
 * `docs/errors.md`), and the one place where an `errno` becomes an `Error`.
 */
import { getSystemErrorName } from 'node:util';

/** Why a connection is not, or no longer, under kernel TLS. The sentence is the error's message. */
export const messages = {
  // Refusals: the connection is carried by node:tls (`mode: 'prefer'`) or fails (`'require'`).
  ERR_KTLS_NO_ADDON: 'The native addon could not be loaded',
  ERR_KTLS_PLATFORM: 'Kernel TLS sockets exist on Linux only',
  ERR_KTLS_KERNEL: 'This kernel has no TLS (CONFIG_TLS is not set)',
  ERR_KTLS_MODULE: 'The tls kernel module is not loaded; run "modprobe tls" as root on the host',
  ERR_KTLS_SANDBOX: 'A sandbox or seccomp filter forbids kernel TLS',
  ERR_KTLS_ULP: 'The kernel refused to attach its TLS layer to the connection',
  ERR_KTLS_CIPHER: 'The kernel cannot encrypt with the negotiated cipher',
  ERR_KTLS_VERSION: 'The negotiated protocol version cannot be offloaded',
  ERR_KTLS_SECRETS: 'The handshake did not disclose the traffic secrets',
  ERR_KTLS_FRAGMENT: 'max_fragment_length was negotiated and this kernel cannot limit its records',
  ERR_KTLS_NOT_TCP: 'Only a plain TCP socket can be offloaded',
  ERR_KTLS_RESOURCES: 'The system could not spare what kernel TLS needs just now',
  ERR_KTLS_OFF: 'Offload is switched off',
  // Failures of a connection that is not secured yet.
  ERR_KTLS_CLOSED: 'The socket was closed before the connection was secured',
  ERR_KTLS_RECONNECT: 'The socket has had its connection and cannot have another',
  // Failures of a connection that is under kernel TLS.
  ERR_KTLS_INSTALL: 'The kernel refused the keys after the commit point; the connection was ended',
  ERR_KTLS_BAD_RECORD: 'The peer sent a record that failed authentication',
  ERR_KTLS_RECORD_OVERFLOW: 'The peer sent a record longer than TLS allows',
  ERR_KTLS_RECORD_VERSION: 'The peer sent a record of another protocol version',
  ERR_KTLS_UNEXPECTED_RECORD: 'The peer sent a record or message that does not belong here',
  ERR_KTLS_RECORD_FLOOD: 'The peer sent too many records that carry no data',
  ERR_KTLS_KEY_UPDATE: 'The peer changed its keys, which this kernel cannot follow',
  // Failures of sendFile.
  ERR_KTLS_NOT_A_FILE: 'Only a regular file can be sent',
  ERR_KTLS_FILE_RANGE: 'The range starts behind the end of the file',
  ERR_KTLS_FILE_TRUNCATED: 'The file became shorter while it was being sent',
  ERR_KTLS_SEND_INTERRUPTED:
    'The connection was closed, or the response ended, before the whole file was sent',
  ERR_KTLS_REKEY: 'The kernel refused our next key after the peer was told of it',
  // A request that cannot be met; the connection goes on.
  ERR_KTLS_NO_REKEY: 'The keys of this connection cannot be changed',
  ERR_KTLS_RENEGOTIATION: 'Kernel TLS does not renegotiate',
  // Misuse.
  ERR_KTLS_NESTED:
    'node:tls was put on this socket before it was secured; use connect({ socket }) of ktls',
  ERR_KTLS_ALREADY_OFFLOADED: 'This server is offloaded already',
  ERR_KTLS_NOT_A_TLS_SERVER:
    'Only a tls.Server, https.Server or Http2SecureServer can be offloaded',
} as const;

export type KtlsErrorCode = keyof typeof messages;

/** An error of this library. `errno` and `syscall` are there when a system call gave the reason. */
export class KtlsError extends Error {
  readonly code: KtlsErrorCode;
  declare readonly errno?: number;
  declare readonly syscall?: string;

  constructor(code: KtlsErrorCode, detail?: string, cause?: Error) {
    super(detail === undefined ? messages[code] : `${messages[code]}: ${detail}`);
    this.name = 'KtlsError';
    this.code = code;
    if (cause !== undefined) {
      this.cause = cause;
      const { errno, syscall } = cause as NodeJS.ErrnoException;
      if (errno !== undefined) this.errno = errno;
      if (syscall !== undefined) this.syscall = syscall;
    }
  }
}

/** An error shaped like Node's own for a failed system call. `result` is a negated errno. */
export function errnoError(result: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${syscall} ${code}`), { errno: result, code, syscall });
}

/** A `TypeError` with the code Node gives to a wrong argument. */
export function invalidArgument(name: string, expected: string, actual: unknown): TypeError {
  const shown = typeof actual === 'string' ? `'${actual}'` : String(actual);
  return Object.assign(new TypeError(`The ${name} ${expected}. Received ${shown}`), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
}

/** An error as Node itself would make it. */
export function nodeError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

export function invalidType(name: string, expected: string, actual: unknown): TypeError {
  const shown = actual === null ? 'null' : `type ${typeof actual}`;
  const message = `The "${name}" argument must be ${expected}. Received ${shown}`;
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

export function outOfRange(name: string, expected: string, actual: number): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${expected}. Received ${actual}`;
  return Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
}

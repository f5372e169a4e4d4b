/** Errors as Node builds them from OpenSSL's error queue (`TLSWrap::ClearOut`, `node::crypto::Decorate`). */

export interface OpensslError extends Error {
  readonly library: 'SSL routines';
  readonly reason: string;
  readonly code: string;
}

/**
 * @param reason OpenSSL's words, as in `ssl_err.c`
 * @param number its `SSL_R_…`
 * @param detail what OpenSSL adds to the message, with a colon in front
 */
export function opensslError(reason: string, number: number, detail = ''): OpensslError {
  // OpenSSL's packed code: ERR_LIB_SSL (20) << 23 | reason.
  const packed = (0x0a000000 + number).toString(16).toUpperCase().padStart(8, '0');
  return Object.assign(new Error(`error:${packed}:SSL routines::${reason}${detail}`), {
    library: 'SSL routines' as const,
    reason,
    code: `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`,
  });
}

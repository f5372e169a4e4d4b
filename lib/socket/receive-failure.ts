/** What an errno of `recvmsg(2)` under kernel TLS means (net/tls/tls_sw.c, tls_strp.c). */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { AlertDescription } from '../tls/alerts.js';

const { EBADMSG, EINVAL, EMSGSIZE } = constants.errno;
/** Node has no name for it: asm-generic/errno.h. */
const EKEYEXPIRED = 127;

export interface ReceiveFailure {
  readonly error: Error;
  /** The description of the fatal alert to send to the peer: the record was at fault, if there is one. */
  readonly alert: number | null;
}

/** @param result - A negated errno. */
export function receiveFailure(result: number): ReceiveFailure {
  const cause = errnoError(result, 'recvmsg');
  switch (-result) {
    case EBADMSG:
      return {
        error: new KtlsError('ERR_KTLS_BAD_RECORD', undefined, cause),
        alert: AlertDescription.badRecordMac,
      };
    case EMSGSIZE:
      return {
        error: new KtlsError('ERR_KTLS_RECORD_OVERFLOW', undefined, cause),
        alert: AlertDescription.recordOverflow,
      };
    case EINVAL:
      return {
        error: new KtlsError('ERR_KTLS_RECORD_VERSION', undefined, cause),
        alert: AlertDescription.protocolVersion,
      };
    case EKEYEXPIRED:
      // It waits for a key that it was given, or refused to take.
      return {
        error: new KtlsError('ERR_KTLS_KEY_UPDATE', cause.message, cause),
        alert: AlertDescription.internalError,
      };
    default:
      return { error: errnoError(result, 'read'), alert: null };
  }
}

/** What a failed `setsockopt(TCP_ULP, "tls")` means. */
import { constants, release } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { isShortage } from './question.js';
import { kernelHasTls } from './tls-module.js';

const { EACCES, ENOENT, ENOPROTOOPT, ENOSYS, EPERM } = constants.errno;

/**
 * @param result - A negated errno.
 * @param hasTls - Whether the kernel was built with it; `null` if nobody can tell.
 */
export function ulpRefusal(result: number, hasTls = kernelHasTls): KtlsError {
  const cause = errnoError(result, 'setsockopt');
  if (isShortage(result)) return new KtlsError('ERR_KTLS_RESOURCES', cause.message, cause);
  switch (-result) {
    case ENOENT:
      return hasTls() === false
        ? new KtlsError('ERR_KTLS_KERNEL', `Linux ${release()}`, cause)
        : new KtlsError('ERR_KTLS_MODULE', undefined, cause);
    case ENOPROTOOPT:
      return new KtlsError('ERR_KTLS_KERNEL', `Linux ${release()}`, cause);
    case EPERM:
    case EACCES:
    case ENOSYS:
      return new KtlsError('ERR_KTLS_SANDBOX', undefined, cause);
    default:
      return new KtlsError('ERR_KTLS_ULP', cause.message, cause);
  }
}

/** What a failed `setsockopt(TCP_ULP, "tls")` means. */
import { readFileSync } from 'node:fs';
import { constants, release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { KtlsError, errnoError } from '../errors.js';
import { isShortage } from './question.js';

const { EACCES, ENOENT, ENOPROTOOPT, ENOSYS, EPERM } = constants.errno;

/** @param result - A negated errno. */
export function ulpRefusal(result: number): KtlsError {
  const cause = errnoError(result, 'setsockopt');
  if (isShortage(result)) return new KtlsError('ERR_KTLS_RESOURCES', cause.message, cause);
  switch (-result) {
    case ENOENT:
      return kernelHasTls() === false
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

/** Whether the running kernel was built with TLS; `null` where nothing readable tells. */
function kernelHasTls(): boolean | null {
  const modules = read(`/lib/modules/${release()}/modules.dep`);
  const builtin = read(`/lib/modules/${release()}/modules.builtin`);
  const config = read(`/boot/config-${release()}`) || readGzipped('/proc/config.gz');
  if (/^CONFIG_TLS=/m.test(config) || (modules + builtin).includes('/net/tls/tls.ko')) return true;
  return config === '' && modules === '' ? null : false;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function readGzipped(path: string): string {
  try {
    return gunzipSync(readFileSync(path)).toString('latin1');
  } catch {
    return '';
  }
}

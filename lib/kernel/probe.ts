/**
 * What this kernel takes, found by trying it on a loopback connection: each protocol version and cipher
 * in both directions. Versions of the kernel are never consulted; they only explain.
 */
import { readFileSync } from 'node:fs';
import { constants, release } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { cipherSuites } from '../tls/cipher-suites.js';
import { loadBinding } from './binding.js';

const { EACCES, ECANCELED, ENOENT, ENOPROTOOPT, ENOSYS, EPERM } = constants.errno;

/** One protocol version and cipher: `0`, or the negated errno with which the kernel refused it. */
export interface CipherSupport {
  /** As on the wire: `0x0303` or `0x0304`. */
  readonly version: number;
  /** The kernel's constant, `TLS_CIPHER_*` of `<linux/tls.h>`. */
  readonly cipher: number;
  readonly tx: number;
  readonly rx: number;
}

/** What `probe()` found. */
export interface KernelSupport {
  /** Whether at least one cipher works in both directions. */
  readonly available: boolean;
  /** Why not, with one of the refusal codes of `docs/errors.md`; `null` if available. */
  readonly reason: KtlsError | null;
  readonly ciphers: readonly CipherSupport[];
  /** How long the probe took, in milliseconds. */
  readonly duration: number;
}

let cached: KernelSupport | undefined;

/**
 * Probes the kernel, once a process (and worker): later calls return the same frozen object. Takes a
 * few milliseconds and makes only loopback connections. As root it makes the kernel load its `tls`
 * module, since asking for it does. Never throws.
 */
export function probe(): KernelSupport {
  return (cached ??= Object.freeze(run()));
}

/** Whether the kernel takes this version and cipher in both directions. */
export function kernelTakes(version: number, cipher: number): boolean {
  return probe().ciphers.some(
    (one) => one.version === version && one.cipher === cipher && one.tx === 0 && one.rx === 0,
  );
}

function run(): KernelSupport {
  const start = performance.now();
  const ciphers: CipherSupport[] = [];
  let reason = platformReason();
  if (reason === null) {
    const tried = new Set<string>();
    for (const { version, kernelCipher: cipher } of cipherSuites) {
      const key = `${version}/${cipher}`;
      if (tried.has(key)) continue;
      tried.add(key);
      const result = probeCipher(version, cipher);
      if (result instanceof KtlsError) {
        reason = result;
        break;
      }
      ciphers.push(result);
    }
  }
  const available = ciphers.some(({ tx, rx }) => tx === 0 && rx === 0);
  if (!available) reason ??= new KtlsError('ERR_KTLS_CIPHER', 'it takes none of the TLS ciphers');
  return {
    available,
    reason: available ? null : reason,
    ciphers: Object.freeze(ciphers),
    duration: performance.now() - start,
  };
}

function platformReason(): KtlsError | null {
  if (process.platform !== 'linux') return new KtlsError('ERR_KTLS_PLATFORM');
  const binding = loadBinding();
  return binding instanceof Error
    ? new KtlsError('ERR_KTLS_NO_ADDON', binding.message, binding)
    : null;
}

function probeCipher(version: number, cipher: number): CipherSupport | KtlsError {
  const binding = loadBinding();
  if (binding instanceof Error) throw binding;
  const [pair, ulp, tx, rx] = binding.probe(version, cipher);
  if (pair !== 0) {
    return new KtlsError('ERR_KTLS_SANDBOX', 'no loopback connection', errnoError(pair, 'connect'));
  }
  if (ulp !== 0) return ulpRefusal(ulp);
  return Object.freeze({ version, cipher, tx, rx: rx === -ECANCELED && tx !== 0 ? tx : rx });
}

/** What a failed `setsockopt(TCP_ULP, "tls")` means. `result` is a negated errno. */
export function ulpRefusal(result: number): KtlsError {
  const cause = errnoError(result, 'setsockopt');
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
  const config = read(`/boot/config-${release()}`);
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

/**
 * What this kernel takes, found by trying it on a loopback connection: each protocol version and cipher
 * in both directions. Versions of the kernel are never consulted; they only explain.
 */
import { readFileSync } from 'node:fs';
import { constants, release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { KtlsError, errnoError } from '../errors.js';
import { cipherSuites } from '../tls/cipher-suites.js';
import { ProtocolVersion } from '../tls/constants.js';
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
  /** Whether it can change the keys of TLS 1.3 connections (KeyUpdate), with each cipher that it takes. */
  readonly keyUpdate: boolean;
  /** How long the probe took, in milliseconds. */
  readonly duration: number;
}

const rekeys = new Map<number, number>();
const tried = new Map<string, CipherSupport>();
let refusal: KtlsError | null | undefined;
let cached: KernelSupport | undefined;

/**
 * Probes the kernel, once a process (and worker): later calls return the same frozen object. Makes only
 * loopback connections. As root it makes the kernel load its `tls` module and the ciphers', since asking
 * for them does. Never throws.
 */
export function probe(): KernelSupport {
  return (cached ??= Object.freeze(probeAll()));
}

/**
 * Why no connection of this process can be offloaded, or `null`. Found with a single loopback connection
 * when first asked, so that a program's first TLS connection does not wait for ciphers it never uses.
 */
export function kernelRefusal(): KtlsError | null {
  if (refusal === undefined) refusal = firstRefusal();
  return refusal;
}

/** Whether the kernel takes this version and cipher in both directions. */
export function kernelTakes(version: number, cipher: number): boolean {
  if (kernelRefusal() !== null) return false;
  const { tx, rx } = probeCipher(version, cipher);
  return tx === 0 && rx === 0;
}

/** Whether the kernel can change the keys of a TLS 1.3 connection with this cipher. */
export function kernelRekeys(cipher: number): boolean {
  return kernelTakes(ProtocolVersion.TLS13, cipher) && probeRekey(cipher) === 0;
}

/** `0`, or the negated errno of the change of keys. Only called where `kernelRefusal` found none. */
export function probeRekey(cipher: number): number {
  let result = rekeys.get(cipher);
  if (result === undefined) {
    const binding = loadBinding();
    if (binding instanceof Error) throw binding;
    result = binding.probeRekey(ProtocolVersion.TLS13, cipher);
    rekeys.set(cipher, result);
  }
  return result;
}

function probeAll(): KernelSupport {
  const start = performance.now();
  let reason = kernelRefusal();
  if (reason === null) {
    for (const { version, kernelCipher } of cipherSuites) probeCipher(version, kernelCipher);
  }
  const ciphers = Object.freeze([...tried.values()]);
  const available = ciphers.some(({ tx, rx }) => tx === 0 && rx === 0);
  if (!available) reason ??= new KtlsError('ERR_KTLS_CIPHER', 'it takes none of the TLS ciphers');
  const current = ciphers.filter(
    ({ version, tx, rx }) => version === ProtocolVersion.TLS13 && tx === 0 && rx === 0,
  );
  // All of them are asked, for connections to come.
  const unable = current.filter(({ cipher }) => !kernelRekeys(cipher));
  const keyUpdate = current.length > 0 && unable.length === 0;
  return { available, reason, ciphers, keyUpdate, duration: performance.now() - start };
}

function platformReason(): KtlsError | null {
  if (process.platform !== 'linux') return new KtlsError('ERR_KTLS_PLATFORM');
  const binding = loadBinding();
  return binding instanceof Error
    ? new KtlsError('ERR_KTLS_NO_ADDON', binding.message, binding)
    : null;
}

function firstRefusal(): KtlsError | null {
  const platform = platformReason();
  if (platform !== null) return platform;
  const { version, kernelCipher } = cipherSuites[0]!;
  const [pair, ulp] = tryCipher(version, kernelCipher);
  if (pair !== 0) {
    return new KtlsError('ERR_KTLS_SANDBOX', 'no loopback connection', errnoError(pair, 'connect'));
  }
  return ulp === 0 ? null : ulpRefusal(ulp);
}

/** Only called where `kernelRefusal` found none. */
function probeCipher(version: number, cipher: number): CipherSupport {
  const key = `${version}/${cipher}`;
  let support = tried.get(key);
  if (support === undefined) {
    const [pair, ulp, tx, rx] = tryCipher(version, cipher);
    const first = pair || ulp || tx;
    support = Object.freeze({ version, cipher, tx: first, rx: rx === -ECANCELED ? first : rx });
    tried.set(key, support);
  }
  return support;
}

function tryCipher(version: number, cipher: number): [number, number, number, number] {
  const binding = loadBinding();
  if (binding instanceof Error) throw binding;
  return binding.probe(version, cipher);
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

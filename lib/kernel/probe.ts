/**
 * What this kernel takes, found by trying it on a loopback connection: each protocol version and cipher
 * in both directions. Versions of the kernel are never consulted; they only explain.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { type CipherSuite, cipherSuites } from '../tls/cipher-suites.js';
import { ProtocolVersion } from '../tls/constants.js';
import { type NativeBinding, loadBinding } from './binding.js';
import { Question, isShortage } from './question.js';
import { type TlsModule, tlsModule } from './tls-module.js';
import { ulpRefusal } from './ulp-refusal.js';

export { ulpRefusal };

const { EBUSY, ECANCELED } = constants.errno;

/** One protocol version and cipher: `0`, or the negated errno with which the kernel refused it. */
export interface CipherSupport {
  /** As on the wire: `0x0303` or `0x0304`. */
  readonly version: number;
  /** The kernel's constant, `TLS_CIPHER_*` of `<linux/tls.h>`. */
  readonly cipher: number;
  /**
   * That the kernel tells how many records it has sent is part of it: without that a close could lose the
   * last of them. Before Linux 5.16 it does so for AES-GCM only.
   */
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
  /** Where the kernel has its TLS, behind the probe; `null` where nothing readable tells. */
  readonly module: TlsModule | null;
  /** How long the probe took, in milliseconds. */
  readonly duration: number;
}

interface CipherAnswer {
  readonly support: CipherSupport;
  /** What failed, as a negated errno, for want of something at that moment. */
  readonly shortage: number;
  /** It encrypts and decrypts, and does not tell how many records it has sent. */
  readonly uncounted: boolean;
}

const refusal = new Question(firstRefusal, (reason) => reason?.code !== 'ERR_KTLS_RESOURCES');
const ciphers = new Map<string, Question<CipherAnswer>>();
const rekeys = new Map<number, Question<number>>();
const everything = new Question(probeAll, ({ isLasting }) => isLasting);

/**
 * Probes the kernel, once a process (and worker): later calls return the same frozen object, unless a want
 * of descriptors, memory or time kept it from finding out. Makes only loopback connections. As root it makes
 * the kernel load its `tls` module and the ciphers', since asking for them does. Never throws.
 */
export function probe(): KernelSupport {
  return everything.answer().support;
}

/**
 * Why no connection of this process can be offloaded, or `null`. Found with a single loopback connection
 * when first asked, so that a program's first TLS connection does not wait for ciphers it never uses.
 */
export function kernelRefusal(): KtlsError | null {
  return refusal.answer();
}

/**
 * Why a connection with this suite cannot be offloaded, or `null`. That it cannot be found out right now is
 * a reason, `ERR_KTLS_RESOURCES`, and so it is where only the kernel's changing of keys could not be tried:
 * a connection that is under kernel TLS by then would die of the peer's KeyUpdate.
 */
export function cipherRefusal({ name, version, kernelCipher }: CipherSuite): KtlsError | null {
  const reason = kernelRefusal();
  if (reason !== null) return reason;
  const { support, shortage, uncounted } = askCipher(version, kernelCipher);
  if (shortage !== 0) return shortOf(shortage, name);
  if (uncounted) {
    const cause = errnoError(support.tx, 'getsockopt');
    const detail = `with ${name} it does not tell how many records it has sent`;
    return new KtlsError('ERR_KTLS_CIPHER', detail, cause);
  }
  if (support.tx !== 0 || support.rx !== 0) {
    return new KtlsError('ERR_KTLS_CIPHER', `${name} is not in this kernel`);
  }
  const rekey = probeRekey(kernelCipher);
  return isShortage(rekey) ? shortOf(rekey, name) : null;
}

/** Whether the kernel can change the keys of a TLS 1.3 connection with this cipher. */
export function kernelRekeys(cipher: number): boolean {
  return kernelRefusal() === null && probeRekey(cipher) === 0;
}

/**
 * Whether the kernel, of whichever version of TLS and cipher, may say nothing of a record that a read has met
 * behind data. Those do that can change keys, which each of the ciphers that it has shows; where the answer is not
 * to be had now it may.
 */
export function kernelMayParkRecords(): boolean {
  for (const cipher of tls13Ciphers) {
    const result = probeRekey(cipher);
    if (result === 0 || isShortage(result)) return true;
    // Of a second key, whatever the cipher (net/tls/tls_main.c, before Linux 6.14).
    if (result === -EBUSY) return false;
  }
  return false;
}
const tls13Ciphers = new Set(
  cipherSuites
    .filter(({ version }) => version === ProtocolVersion.TLS13)
    .map(({ kernelCipher }) => kernelCipher),
);

/** `0`, or the negated errno of the change of keys. Only called where `kernelRefusal` found none. */
export function probeRekey(cipher: number): number {
  let question = rekeys.get(cipher);
  if (question === undefined) {
    const ask = (): number => addon().probeRekey(ProtocolVersion.TLS13, cipher);
    question = new Question(ask, (result) => !isShortage(result));
    rekeys.set(cipher, question);
  }
  return question.answer();
}

function probeAll(): { support: KernelSupport; isLasting: boolean } {
  const start = performance.now();
  let reason = kernelRefusal();
  const answers = reason === null ? askAllCiphers() : [];
  const supported = Object.freeze(answers.map(({ support }) => support));
  const works = ({ tx, rx }: CipherSupport): boolean => tx === 0 && rx === 0;
  const available = supported.some(works);
  const shortage = answers.find((answer) => answer.shortage !== 0)?.shortage ?? 0;
  if (!available) {
    reason ??=
      shortage === 0
        ? new KtlsError('ERR_KTLS_CIPHER', 'it takes none of the TLS ciphers')
        : shortOf(shortage, 'the probe');
  }
  // All of them are asked, for connections to come.
  const changes = supported
    .filter((support) => support.version === ProtocolVersion.TLS13 && works(support))
    .map(({ cipher }) => probeRekey(cipher));
  const keyUpdate = changes.length > 0 && changes.every((result) => result === 0);
  const module = process.platform === 'linux' ? tlsModule() : null;
  const duration = performance.now() - start;
  return {
    support: Object.freeze({
      available,
      reason,
      ciphers: supported,
      keyUpdate,
      module,
      duration,
    }),
    isLasting: shortage === 0 && !changes.some(isShortage) && reason?.code !== 'ERR_KTLS_RESOURCES',
  };
}

/** Each version and cipher once: many suites differ only in their key exchange. */
function askAllCiphers(): CipherAnswer[] {
  const suites = new Map(
    cipherSuites.map((suite) => [keyOf(suite.version, suite.kernelCipher), suite]),
  );
  return [...suites.values()].map(({ version, kernelCipher }) => askCipher(version, kernelCipher));
}

function platformReason(): KtlsError | null {
  if (process.platform !== 'linux') return new KtlsError('ERR_KTLS_PLATFORM');
  const binding = loadBinding();
  if (!(binding instanceof Error)) return null;
  // What may not be read, under `node --permission`.
  const { resource } = binding as { resource?: unknown };
  const detail = typeof resource === 'string' ? `${binding.message}: ${resource}` : binding.message;
  return new KtlsError('ERR_KTLS_NO_ADDON', detail, binding);
}

function firstRefusal(): KtlsError | null {
  const platform = platformReason();
  if (platform !== null) return platform;
  const { version, kernelCipher } = cipherSuites[0]!;
  const [pair, ulp] = addon().probe(version, kernelCipher);
  if (pair !== 0) {
    const cause = errnoError(pair, 'connect');
    const code = isShortage(pair) ? 'ERR_KTLS_RESOURCES' : 'ERR_KTLS_SANDBOX';
    return new KtlsError(code, `no loopback connection: ${cause.message}`, cause);
  }
  return ulp === 0 ? null : ulpRefusal(ulp);
}

const keyOf = (version: number, cipher: number): string => `${version}/${cipher}`;

/** Only called where `kernelRefusal` found none. */
function askCipher(version: number, cipher: number): CipherAnswer {
  const key = keyOf(version, cipher);
  let question = ciphers.get(key);
  if (question === undefined) {
    question = new Question(
      () => tryCipher(version, cipher),
      ({ shortage }) => shortage === 0,
    );
    ciphers.set(key, question);
  }
  return question.answer();
}

function tryCipher(version: number, cipher: number): CipherAnswer {
  const [pair, ulp, tx, rx, count] = addon().probe(version, cipher);
  // There have been connections with the TLS layer: what keeps it from one now is not the cipher.
  const before = pair || ulp;
  const sending = before || tx;
  const receiving = rx === -ECANCELED ? sending : rx;
  const uncounted = sending === 0 && receiving === 0 && count !== 0;
  const failed = sending || receiving;
  return {
    support: Object.freeze({ version, cipher, tx: uncounted ? count : sending, rx: receiving }),
    shortage: before !== 0 || isShortage(failed) ? failed : 0,
    uncounted,
  };
}

function shortOf(result: number, what: string): KtlsError {
  const cause = errnoError(result, 'probe');
  return new KtlsError('ERR_KTLS_RESOURCES', `${what}: ${cause.message}`, cause);
}

function addon(): NativeBinding {
  const binding = loadBinding();
  if (binding instanceof Error) throw binding;
  return binding;
}

/**
 * When the keys of a connection change: because the peer asks, because a key has protected enough records,
 * or because the application wants it. How they change is `kernel/rekey.ts`.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import type { Channel } from '../kernel/binding.js';
import type { Installed } from '../kernel/install.js';
import { type Rekeying, keyUpdateLength } from '../kernel/rekey.js';
import { maxPlaintextLength } from '../tls/constants.js';

const EAGAIN = -constants.errno.EAGAIN;

/** Key updates that a peer may send at once, and when it earns more: each costs us a key derivation. */
const BURST = 32;
const PER_SECOND = 1;
const BYTES_EACH = 64 * 1024;

/** The most pieces of a write that go to the kernel in one call: `IOV_MAX`, which libuv keeps to. */
const PIECES_A_CALL = 1024;

/** Who wanted the keys to change. */
export type RekeyCause = 'peer' | 'limit' | 'application';

export interface KeyUpdatesOwner {
  installed(): Installed;
  /** The connection is this from now on. */
  reinstalled(installed: Installed): void;
  /** Whether another thread may be sending on the socket. */
  sendingElsewhere(): boolean;
  /** The keys of a direction have changed. */
  rekeyed(direction: 'tx' | 'rx', cause: RekeyCause): void;
  /** A KeyUpdate went out, and with it this many bytes of plaintext. */
  keyUpdateSent(bytes: number): void;
  /** No KeyUpdate waits any more. */
  keyUpdateSettled(): void;
  keyUpdateFailed(error: Error): void;
}

/** In milliseconds. */
const steadyClock = (): number => performance.now();

interface Pending {
  requestPeer: boolean;
  cause: RekeyCause;
  callbacks: ((error: Error | null) => void)[];
}

export class KeyUpdates {
  readonly #channel: Channel;
  readonly #rekeying: Rekeying;
  readonly #owner: KeyUpdatesOwner;
  readonly #limit: number;
  readonly #now: () => number;
  #pending: Pending | null = null;
  #closed = false;
  /** An upper bound of the records since the kernel was last asked for their number. */
  #estimate: number;
  /** The kernel is asked again before there can be more. */
  #askAt: number;
  #recordSize: number;
  #allowance = BURST;
  #allowedAt: number;

  /**
   * @param limit - Records after which our own key is changed.
   * @param now - Milliseconds of a steady clock.
   */
  constructor(
    channel: Channel,
    rekeying: Rekeying,
    limit: number,
    owner: KeyUpdatesOwner,
    now = steadyClock,
  ) {
    this.#channel = channel;
    this.#rekeying = rekeying;
    this.#limit = limit;
    this.#owner = owner;
    this.#now = now;
    const { firstSendSequence, fragmentLimit } = owner.installed();
    this.#estimate = Number(firstSendSequence);
    this.#recordSize = fragmentLimit ?? maxPlaintextLength;
    this.#askAt = limit;
    this.#allowedAt = now();
  }

  /** Whether a KeyUpdate waits to be sent: no data may be written ahead of it. */
  get pending(): boolean {
    return this.#pending !== null;
  }

  /** Application data came. */
  dataArrived(bytes: number): void {
    if (this.#allowance < BURST) this.#allowance += bytes / BYTES_EACH;
  }

  /**
   * The peer's KeyUpdate came, last in its record.
   *
   * @throws KtlsError `ERR_KTLS_RECORD_FLOOD`, `ERR_KTLS_KEY_UPDATE`
   */
  received(updateRequested: boolean): void {
    const now = this.#now();
    const earned = ((now - this.#allowedAt) / 1000) * PER_SECOND;
    this.#allowedAt = now;
    this.#allowance = Math.min(BURST, this.#allowance + earned) - 1;
    if (this.#allowance < 0) throw new KtlsError('ERR_KTLS_RECORD_FLOOD', 'key updates');
    this.#rekeying.receive(this.#owner.installed());
    this.#owner.rekeyed('rx', 'peer');
    // One answer does for all requests that come while it waits.
    if (updateRequested) this.update(false, 'peer');
  }

  /** A record came that looks like a KeyUpdate to the kernel, and none ended in it. */
  mistaken(): void {
    this.#rekeying.keepReceiving(this.#owner.installed());
  }

  /** Records have so many bytes of plaintext at most from now on. */
  limitRecords(bytes: number): void {
    this.#recordSize = bytes;
    // What is not with the kernel yet was counted in larger ones.
    this.#askAt = 0;
  }

  /** So many bytes, or fewer, are about to be written: once again if they were held back. */
  beforeWrite(bytes: number, pieces: number): void {
    // A call ends its last record, full or not.
    const most = Math.ceil(pieces / PIECES_A_CALL) + Math.ceil(bytes / this.#recordSize);
    this.#estimate += most;
    if (this.#estimate < this.#askAt || this.#pending !== null) return;
    const { suite, version } = this.#owner.installed();
    const sequence = this.#channel.sendSequence(version, suite.kernelCipher);
    // The next write asks again.
    if (typeof sequence === 'number') return;
    const records = Number(sequence);
    if (records >= this.#limit) {
      this.update(false, 'limit');
    } else {
      this.#askAt = this.#limit - records;
    }
    // Of the key that is in use by now.
    this.#estimate = most;
  }

  /** Sends a KeyUpdate as soon as there is room for it. */
  update(requestPeer: boolean, cause: RekeyCause, callback?: (error: Error | null) => void): void {
    if (this.#closed) {
      callback?.(new KtlsError('ERR_KTLS_NO_REKEY', 'the writing side is closed'));
      return;
    }
    this.#pending ??= { requestPeer: false, cause, callbacks: [] };
    this.#pending.requestPeer ||= requestPeer;
    if (callback !== undefined) this.#pending.callbacks.push(callback);
    this.advance();
  }

  /** Tries to go on: the socket may have become writable, or idle. */
  advance(): void {
    const pending = this.#pending;
    if (pending === null || this.#owner.sendingElsewhere()) return;
    let result;
    try {
      result = this.#rekeying.send(this.#owner.installed(), pending.requestPeer);
    } catch (error) {
      const { callbacks } = pending;
      pending.callbacks = [];
      // While it is still pending: the peer expects a key that the kernel has not got, and what is held must not
      // follow under another one.
      this.#owner.keyUpdateFailed(error as Error);
      for (const callback of callbacks) callback(error as Error);
      return;
    }
    if (result === EAGAIN) return;
    if (typeof result === 'number') {
      // The connection is broken, as the next read or write is going to say; or the kernel was short of
      // something, and the next write tries again.
      this.#askAt = 0;
      this.#finish(errnoError(result, 'sendmsg'));
      return;
    }
    this.#owner.reinstalled(result);
    this.#owner.keyUpdateSent(keyUpdateLength);
    this.#estimate = 0;
    this.#askAt = this.#limit;
    this.#owner.rekeyed('tx', pending.cause);
    this.#finish(null);
  }

  /** Nothing may be sent any more; what waits is given up. The peer's updates are still followed. */
  stopSending(): void {
    this.#closed = true;
    if (this.#pending !== null) {
      this.#finish(new KtlsError('ERR_KTLS_NO_REKEY', 'the writing side is closed'));
    }
  }

  /** The socket is closed. */
  close(): void {
    this.stopSending();
    this.#rekeying.wipe();
  }

  #finish(error: Error | null): void {
    const callbacks = this.#pending?.callbacks ?? [];
    this.#pending = null;
    for (const callback of callbacks) callback(error);
    this.#owner.keyUpdateSettled();
  }
}

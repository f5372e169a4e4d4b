/**
 * What happens on a KeyUpdate (RFC 8446 section 4.6.3): the next traffic secret is derived and the kernel
 * gets its key, one direction at a time. Linux can since 6.14; whether this one can is probed.
 *
 * A record that the kernel has accepted is encrypted by then, even if it still waits for room in TCP. So
 * sending may change keys between any two calls, with writes pending in libuv too: what libuv has not given
 * to the kernel is encrypted with the new key, behind the KeyUpdate. Only a call that sends from another
 * thread at the same time could come between the KeyUpdate and the new key; the caller rules that out.
 */
import { KtlsError, errnoError } from '../errors.js';
import { ContentType, HandshakeType } from '../tls/constants.js';
import { kernelMaterial, nextTrafficSecret, trafficKeys } from '../tls/key-schedule.js';
import { copySecret } from '../tls/secret.js';
import { type Channel, Direction } from './binding.js';
import type { Installed } from './install.js';

/** `update_not_requested`, `update_requested`. */
const MESSAGES = [0, 1].map((request) => Buffer.from([HandshakeType.keyUpdate, 0, 0, 1, request]));

export const keyUpdateLength = 5;

/** The traffic secrets of both directions, as long as they are needed. */
export class Rekeying {
  readonly #channel: Channel;
  #send: Buffer;
  #receive: Buffer;
  /** Why the kernel did not take a key that the peer has, of either direction: nothing is sent any more. */
  #broken: KtlsError | null = null;

  /** @param send - `{client,server}_application_traffic_secret_0`; both are copied. */
  constructor(channel: Channel, send: Buffer, receive: Buffer) {
    this.#channel = channel;
    this.#send = copySecret(send);
    this.#receive = copySecret(receive);
  }

  /**
   * The peer's KeyUpdate has come: its next record is under the next key.
   *
   * @throws KtlsError `ERR_KTLS_KEY_UPDATE`: the kernel did not take it.
   */
  receive(installed: Installed): void {
    this.#receive = this.#next(installed, Direction.RX, this.#receive, 'ERR_KTLS_KEY_UPDATE');
  }

  /**
   * The kernel took a record for a KeyUpdate that is none, or not all of one: the next record is under the same
   * key. It goes by the first byte alone (net/tls/tls_sw.c, `tls_check_pending_rekey`) and reads no more until
   * it gets a key. If it does not take this one, reading on says so.
   */
  keepReceiving({ suite, version }: Installed): void {
    this.#channel.keepReceiveKey(version, suite.kernelCipher);
  }

  /**
   * Sends a KeyUpdate and changes the key.
   *
   * @param requestPeer - Whether the peer is to do the same.
   * @returns The connection as it is from now on; or a negated errno, and nothing was sent: `-EAGAIN` asks
   * to try again when the socket is writable.
   * @throws KtlsError `ERR_KTLS_REKEY`: the KeyUpdate is sent and the kernel did not take the key. Nothing
   * more can be sent.
   */
  send(installed: Installed, requestPeer: boolean): Installed | number {
    if (this.#broken !== null) throw this.#broken;
    const { suite, version, firstSendSequence, bytesInTcp } = installed;
    const before = this.#channel.sendSequence(version, suite.kernelCipher);
    if (typeof before === 'number') return before;
    const sent = this.#channel.sendRecord(ContentType.handshake, MESSAGES[Number(requestPeer)]!);
    if (sent < 0) return sent;
    // A record that a file has left open (MSG_MORE) went ahead of it (net/tls/tls_sw.c, `tls_process_cmsg`).
    const behind = this.#channel.sendSequence(version, suite.kernelCipher);
    const sequence = typeof behind === 'number' ? before + 1n : behind;
    this.#send = this.#next(installed, Direction.TX, this.#send, 'ERR_KTLS_REKEY');
    // Sequence numbers start at 0 again: what the old ones added to the stream is counted now, the KeyUpdate too.
    const records = Number(sequence - firstSendSequence);
    return {
      ...installed,
      bytesInTcp: bytesInTcp + records * suite.recordOverhead,
      firstSendSequence: 0n,
    };
  }

  /** The connection is closed. */
  wipe(): void {
    this.#send.fill(0);
    this.#receive.fill(0);
  }

  #next(
    { suite, version }: Installed,
    direction: Direction,
    current: Buffer,
    code: 'ERR_KTLS_KEY_UPDATE' | 'ERR_KTLS_REKEY',
  ): Buffer {
    const secret = nextTrafficSecret(suite, current);
    const keys = trafficKeys(suite, secret);
    const material = kernelMaterial(suite, keys, null, 0n);
    keys.key.fill(0);
    keys.iv.fill(0);
    const result = this.#channel.installKeys(direction, version, suite.kernelCipher, material);
    if (result < 0) {
      secret.fill(0);
      const cause = errnoError(result, 'setsockopt');
      this.#broken = new KtlsError(code, cause.message, cause);
      throw this.#broken;
    }
    current.fill(0);
    return secret;
  }
}

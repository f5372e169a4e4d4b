/**
 * Watches one handshake go by and knows, by observation alone, what the kernel must be told: the traffic
 * secrets, the server's random, and how many records each side has protected with the keys the kernel
 * will use. It also knows the exact record after which node:tls must be given no more. It decides nothing.
 */
import { cipherSuiteById, type CipherSuite } from '../tls/cipher-suites.js';
import { ContentType, ProtocolVersion, recordHeaderLength } from '../tls/constants.js';
import {
  ClientHelloScanner,
  ServerHelloScanner,
  leastFragmentLimit,
} from '../tls/handshake-messages.js';
import { nextExplicitNonce } from '../tls/key-schedule.js';
import { KeylogSecrets } from '../tls/keylog.js';
import { RecordScanner, type ScannedRecord, isRecord } from '../tls/record.js';

/** A TLS 1.2 Finished: 4 bytes of header, 12 of verify_data (RFC 5246 section 7.4.9). */
const FINISHED = 16;

/** One direction's count of the records under the final keys. */
class ProtectedRecords {
  changeCipherSpec = false;
  count = 0n;
  finishedBytes = 0;
  /** The explicit nonce of the last one, TLS 1.2 only. */
  nonce: Buffer | null = null;
}

export class HandshakeObserver {
  readonly isServer: boolean;
  readonly secrets = new KeylogSecrets();
  readonly #clientHello = new ClientHelloScanner();
  readonly #serverHello = new ServerHelloScanner();
  readonly #scanner = new RecordScanner((type, fragment) => {
    if (this.isServer && type === ContentType.handshake) this.#scanServerHello(fragment);
  });
  readonly #sent = new ProtectedRecords();
  readonly #received = new ProtectedRecords();
  #suite: CipherSuite | undefined;
  #sentProtected = false;
  #unframed = false;

  constructor(isServer: boolean) {
    this.isServer = isServer;
  }

  /** From the 'keylog' event. */
  keylog(line: Buffer): void {
    this.secrets.add(line);
  }

  /** From the transport: one whole record, before node:tls sees it. */
  received(record: Uint8Array): void {
    const type = record[0];
    // What is none comes in pieces of any size.
    this.#unframed ||= !isRecord(record);
    if (type === ContentType.handshake) {
      const payload = record.subarray(recordHeaderLength);
      if (!this.isServer) this.#scanServerHello(payload);
      // Behind the ServerHello the client's messages are of no interest, and its Finished is encrypted.
      else if (!this.#serverHello.done) this.#clientHello.push(payload);
    }
    if (this.#isTls12) this.#countTls12(this.#received, type, record.length - recordHeaderLength);
  }

  /** From the transport: bytes that node:tls writes. */
  sent(chunk: Uint8Array): void {
    for (const record of this.#scanner.push(chunk)) this.#sentRecord(record);
  }

  /**
   * Whether the peer's last handshake record has been received: whatever follows is for the kernel. TLS
   * 1.3 discloses the reading secret while it consumes the peer's Finished; in TLS 1.2 the Finished is
   * the record after ChangeCipherSpec.
   */
  get receivedAll(): boolean {
    if (this.#unframed) return false;
    if (this.#isTls12) return this.#received.finishedBytes >= FINISHED;
    const { clientTrafficSecret, serverTrafficSecret } = this.secrets;
    return (this.isServer ? clientTrafficSecret : serverTrafficSecret) !== null;
  }

  /**
   * Whether the peer has put more into the record of its Finished (TLS 1.2; TLS 1.3 forbids it, RFC 8446 section
   * 5.1). node:tls would take the handshake for done and OpenSSL act on the rest, with keys and a peer that are
   * others than those that the handshake is judged by.
   */
  get overrun(): boolean {
    return this.#isTls12 && this.#suite !== undefined && this.#received.finishedBytes > FINISHED;
  }

  /**
   * Whether our own Finished has been written, as far as the records can tell. A TLS 1.3 server's came
   * before the client's; the tickets that may follow are not counted on.
   */
  get sentFinished(): boolean {
    if (this.#isTls12) return this.#sent.finishedBytes >= FINISHED;
    return this.isServer || this.#sentProtected;
  }

  /**
   * The peer's stream is not all records, so that nobody has counted them: OpenSSL still takes a ClientHello in
   * the format of SSLv2 (RFC 5246 appendix E.2).
   */
  get unframed(): boolean {
    return this.#unframed;
  }

  /** Whether our stream stands between two records. */
  get onRecordBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  /** `null` until the ServerHello has passed. */
  get serverRandom(): Buffer | null {
    return this.#serverHello.serverHello?.serverRandom ?? null;
  }

  /** The sequence number of the next record we send, and in TLS 1.2 its explicit nonce. */
  get sendState(): { sequence: bigint; nextNonce: Buffer | null } {
    const { count, nonce } = this.#sent;
    return { sequence: count, nextNonce: nonce === null ? null : nextExplicitNonce(nonce) };
  }

  get receiveSequence(): bigint {
    return this.#received.count;
  }

  /**
   * Bytes of plaintext, if max_fragment_length is in force (RFC 6066 section 4). An OpenSSL server accepts
   * every offer; a TLS 1.3 client could not see the answer, but node:tls never offers.
   */
  get fragmentLimit(): number | null {
    const answered = this.#serverHello.serverHello?.maxFragmentLength === true;
    return this.#clientHello.fragmentLimit ?? (answered ? leastFragmentLimit : null);
  }

  get #isTls12(): boolean {
    return this.#serverHello.serverHello?.version === ProtocolVersion.TLS12;
  }

  #scanServerHello(payload: Uint8Array): void {
    if (this.#serverHello.done) return;
    this.#serverHello.push(payload);
    const hello = this.#serverHello.serverHello;
    if (hello !== null) this.#suite = cipherSuiteById(hello.cipherSuiteId);
  }

  #sentRecord({ contentType, length, prefix }: ScannedRecord): void {
    if (this.#isTls12) {
      this.#countTls12(this.#sent, contentType, length);
      const explicit = this.#suite?.explicitNonceLength === prefix.length;
      if (explicit && this.#sent.count > 0n) this.#sent.nonce = prefix;
    } else if (contentType === ContentType.applicationData) {
      this.#sentProtected = true;
      // A server's records under the traffic secret are those it writes once the client's Finished
      // has been read: its own flight came before. A client sends none before the hand-over.
      if (this.isServer && this.secrets.clientTrafficSecret !== null) this.#sent.count++;
    }
  }

  #countTls12(records: ProtectedRecords, type: number | undefined, length: number): void {
    if (type === ContentType.changeCipherSpec) {
      records.changeCipherSpec = true;
    } else if (records.changeCipherSpec) {
      records.count++;
      // An alert may come before Finished.
      if (type !== ContentType.handshake) return;
      const overhead =
        this.#suite === undefined ? 0 : this.#suite.recordOverhead - recordHeaderLength;
      records.finishedBytes += length - overhead;
    }
  }
}

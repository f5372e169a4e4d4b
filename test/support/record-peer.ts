/**
 * A peer that can be told what to send, record by record: node:tls does its handshake, then it works by
 * hand with the keys of the key log. It decrypts what it receives and answers nothing of its own accord.
 */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { HandshakeObserver } from '../../lib/handshake/observer.js';
import { buildAlert } from '../../lib/tls/alerts.js';
import { type CipherSuite, cipherSuiteByName } from '../../lib/tls/cipher-suites.js';
import {
  ContentType,
  HandshakeType,
  ProtocolVersion,
  protocolVersion,
  recordHeaderLength,
} from '../../lib/tls/constants.js';
import {
  type WriteKeys,
  kernelMaterial,
  keyBlock,
  nextTrafficSecret,
  trafficKeys,
} from '../../lib/tls/key-schedule.js';
import { openRecord, sealRecord } from '../unit/tls/record-protection.js';
import { ecdsaCertificate } from './certificates.js';
import { TcpEnd } from './tcp-state.js';

export interface PlainRecord {
  readonly type: number;
  readonly payload: Buffer;
}

/** Application data, as text or bytes. */
export const data = (payload: string | Buffer): PlainRecord => ({
  type: ContentType.applicationData,
  payload: Buffer.from(payload),
});

export const alert = (level: number, description: number): PlainRecord => ({
  type: ContentType.alert,
  payload: buildAlert(level, description),
});

export const closeNotify = alert(1, 0);

export const handshake = (...messages: Buffer[]): PlainRecord => ({
  type: ContentType.handshake,
  payload: Buffer.concat(messages),
});

/** One handshake message with its header. */
export function message(type: number, body: Buffer | number = 0): Buffer {
  const bytes = typeof body === 'number' ? Buffer.alloc(body) : body;
  const header = Buffer.alloc(4);
  header.writeUInt32BE(type * 0x1000000 + bytes.length);
  return Buffer.concat([header, bytes]);
}

/** A NewSessionTicket of TLS 1.3 (RFC 8446 section 4.6.1) that nobody could resume. */
export function newSessionTicket(ticketLength = 32): Buffer {
  const fixed = Buffer.alloc(4 + 4 + 1 + 1 + 2);
  fixed.writeUInt32BE(7200);
  fixed[8] = 1;
  fixed.writeUInt16BE(ticketLength, 10);
  const extensions = 2;
  return message(
    HandshakeType.newSessionTicket,
    Buffer.concat([fixed, Buffer.alloc(ticketLength + extensions)]),
  );
}

export const keyUpdate = (requested = false): Buffer =>
  message(HandshakeType.keyUpdate, Buffer.from([requested ? 1 : 0]));

/** One direction: keys, and the number of the next record. */
class Direction {
  readonly #suite: CipherSuite;
  #secret: Buffer | null;
  #keys: WriteKeys;
  #sequence: bigint;

  constructor(suite: CipherSuite, keys: WriteKeys, secret: Buffer | null, sequence: bigint) {
    this.#suite = suite;
    this.#keys = keys;
    this.#secret = secret;
    this.#sequence = sequence;
  }

  seal(type: number, payload: Buffer, padding: number): Buffer {
    // Padding is what comes behind the type byte; so the last byte of it stands in for the type.
    const inner = Buffer.concat([payload, Buffer.from([type]), Buffer.alloc(padding)]);
    const record =
      padding > 0
        ? { contentType: 0, plaintext: inner.subarray(0, -1) }
        : { contentType: type, plaintext: payload };
    return sealRecord(this.#suite, this.#material(), this.#sequence++, record);
  }

  open(record: Buffer): PlainRecord {
    const opened = openRecord(this.#suite, this.#material(), this.#sequence++, record);
    if (opened === null) throw new Error(`record ${this.#sequence - 1n} does not decrypt`);
    return { type: opened.contentType, payload: opened.plaintext };
  }

  update(): void {
    this.#secret = nextTrafficSecret(this.#suite, this.#secret!);
    this.#keys = trafficKeys(this.#suite, this.#secret);
    this.#sequence = 0n;
  }

  /** In TLS 1.2 any explicit nonce will do that is not used twice. */
  #material(): Uint8Array {
    const explicit = Buffer.alloc(this.#suite.explicitNonceLength);
    if (explicit.length > 0) explicit.writeBigUInt64BE(this.#sequence);
    return kernelMaterial(this.#suite, this.#keys, explicit.length ? explicit : null, 0n);
  }
}

/** What node:tls does its handshake over. Once cut off it swallows whatever is written. */
class Wire extends Duplex {
  readonly #send: (chunk: Buffer) => void;
  writes = 0;
  over = false;

  constructor(send: (chunk: Buffer) => void) {
    super();
    this.#send = send;
  }

  override _read(): void {
    // Pushed as it comes.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes++;
    if (!this.over) this.#send(chunk);
    // Not at once: TLSSocket would re-enter itself.
    setImmediate(done);
  }
}

export class RecordPeer implements AsyncDisposable {
  readonly socket: Socket;
  /** Everything received since the handshake, decrypted. */
  readonly received: PlainRecord[] = [];
  #data: Buffer[] = [];
  /** Bytes of what the application on the other side has written so far. */
  receivedLength = 0;
  /** Whether the other side sent FIN, or a reset. */
  ended: 'fin' | 'reset' | null = null;
  readonly #tcp: TcpEnd;
  readonly #observer: HandshakeObserver;
  readonly #wire: Wire;
  #tls: tls.TLSSocket | null = null;
  #input = Buffer.alloc(0);
  #early: Buffer[] = [];
  #out: Direction | null = null;
  #in: Direction | null = null;
  readonly #waiters: (() => void)[] = [];
  /** Told of each record before the next is decrypted. */
  onRecord: ((record: PlainRecord) => void) | null = null;

  private constructor(socket: Socket, isServer: boolean) {
    this.socket = socket;
    this.#tcp = new TcpEnd(socket);
    this.#observer = new HandshakeObserver(isServer);
    this.#wire = new Wire((chunk) => {
      this.#observer.sent(chunk);
      socket.write(chunk);
    });
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.#end('fin'));
    socket.on('error', () => this.#end('reset'));
    socket.on('close', () => this.#notify());
  }

  /** The client side of a connection. */
  static async connect(port: number, options: tls.ConnectionOptions = {}): Promise<RecordPeer> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    const peer = new RecordPeer(socket, false);
    const client = tls.connect({ ...options, socket: peer.#wire, rejectUnauthorized: false });
    client.on('keylog', (line: Buffer) => peer.#observer.keylog(line));
    await once(client, 'secureConnect');
    await peer.#settle(client);
    return peer;
  }

  /** The server side: listens for one connection. */
  static async listen(
    options: tls.TlsOptions = {},
  ): Promise<{ port: number; accepted: Promise<RecordPeer> }> {
    const tcp = createServer({ allowHalfOpen: true });
    const accepted = (async () => {
      const [socket] = (await once(tcp, 'connection')) as [Socket];
      tcp.close();
      const peer = new RecordPeer(socket, true);
      const server = tls.createServer({ ...ecdsaCertificate(), ...options });
      server.on('keylog', (line: Buffer) => peer.#observer.keylog(line));
      server.emit('connection', peer.#wire);
      const [secured] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
      await peer.#settle(secured);
      return peer;
    })();
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    return { port: (tcp.address() as AddressInfo).port, accepted };
  }

  /** One protected record; each call uses up a sequence number. `padding` is for TLS 1.3 only. */
  seal({ type, payload }: PlainRecord, padding = 0): Buffer {
    return this.#out!.seal(type, payload, padding);
  }

  /** Sends records in one segment. */
  send(...records: PlainRecord[]): void {
    this.sendRaw(Buffer.concat(records.map((record) => this.seal(record))));
  }

  sendRaw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The records sent after this one are under the next keys. */
  updateSendKeys(): void {
    this.#out!.update();
  }

  updateReceiveKeys(): void {
    this.#in!.update();
  }

  /** Sends FIN, with no close_notify. */
  fin(): void {
    this.socket.end();
  }

  /** What the application on the other side has written so far. */
  get receivedData(): Buffer {
    const whole = this.#data.length === 1 ? this.#data[0]! : Buffer.concat(this.#data);
    this.#data = [whole];
    return whole;
  }

  /** `[level, description]` of each alert received so far. */
  get receivedAlerts(): [number, number][] {
    return this.received
      .filter(({ type }) => type === ContentType.alert)
      .map(({ payload }) => [payload[0]!, payload[1]!]);
  }

  /** Waits until `condition` holds; throws if the connection ends first. */
  async until(condition: (peer: this) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.ended !== null || this.socket.destroyed) {
        throw new Error(`the connection ended (${this.ended ?? 'destroyed'}) too early`);
      }
      await this.#change();
    }
  }

  /**
   * That the connection was reset. Up to Node 22 libuv takes a reset that it finds behind data for an end;
   * the kernel does not, and has forgotten the connection then.
   */
  get wasReset(): boolean {
    return this.ended === 'reset' || (this.ended === 'fin' && !this.#tcp.exists);
  }

  /** Waits for the other side's FIN or reset. */
  async untilEnded(): Promise<'fin' | 'reset'> {
    while (this.ended === null) await this.#change();
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#wire.over = true;
    this.#tls?.destroy();
    this.socket.destroy();
    if (!this.socket.closed) await once(this.socket, 'close');
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #notify(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #end(how: 'fin' | 'reset'): void {
    // After a FIN a reset only says that nobody is there any more.
    this.ended ??= how;
    this.#notify();
  }

  #take(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= recordHeaderLength) {
      const length = recordHeaderLength + this.#input.readUInt16BE(3);
      if (this.#input.length < length) break;
      const record = this.#input.subarray(0, length);
      this.#input = this.#input.subarray(length);
      if (this.#in !== null) {
        const opened = this.#keep(this.#in.open(record));
        this.onRecord?.(opened);
      } else if (this.#observer.receivedAll) {
        this.#early.push(record);
      } else {
        this.#observer.received(record);
        this.#wire.push(record);
      }
    }
    this.#notify();
  }

  #keep(record: PlainRecord): PlainRecord {
    this.received.push(record);
    if (record.type === ContentType.applicationData) {
      this.#data.push(record.payload);
      this.receivedLength += record.payload.length;
    }
    return record;
  }

  /** Takes over once node:tls has sent all that belongs to the handshake, tickets included. */
  async #settle(socket: tls.TLSSocket): Promise<void> {
    this.#tls = socket;
    socket.on('error', () => undefined);
    const observer = this.#observer;
    for (let idle = 0, writes = this.#wire.writes; idle < 4;) {
      await new Promise(setImmediate);
      idle = writes === this.#wire.writes && observer.sentFinished ? idle + 1 : 0;
      writes = this.#wire.writes;
    }
    this.#wire.over = true;
    const version = protocolVersion(socket.getProtocol())!;
    const suite = cipherSuiteByName(socket.getCipher().name, version)!;
    const { secrets, sendState, receiveSequence, isServer, serverRandom } = observer;
    const tls13 = version === ProtocolVersion.TLS13;
    const secretsOf = tls13
      ? { client: secrets.clientTrafficSecret!, server: secrets.serverTrafficSecret! }
      : { client: null, server: null };
    const keys = tls13
      ? {
          client: trafficKeys(suite, secretsOf.client!),
          server: trafficKeys(suite, secretsOf.server!),
        }
      : keyBlock(suite, secrets.masterSecret!, secrets.clientRandom!, serverRandom!);
    const [own, others] = isServer
      ? (['server', 'client'] as const)
      : (['client', 'server'] as const);
    this.#out = new Direction(suite, keys[own], secretsOf[own], sendState.sequence);
    this.#in = new Direction(suite, keys[others], secretsOf[others], receiveSequence);
    for (const record of this.#early) this.#keep(this.#in.open(record));
  }
}

/**
 * The data path of a connection under kernel TLS: libuv writes to the untouched handle, the receiver
 * reads, control records are judged and acted upon here.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { type Channel, Ready } from '../kernel/binding.js';
import type { Installed } from '../kernel/install.js';
import type { Rekeying } from '../kernel/rekey.js';
import { AlertDescription, AlertLevel, buildAlert } from '../tls/alerts.js';
import { ContentType } from '../tls/constants.js';
import { Closing, TCP_CLOSE } from './closing.js';
import { ControlRecords, type Verdict } from './control-records.js';
import type { Chunk, DataPath, PathOwner, WriteCallback } from './data-path.js';
import { KernelFiles, type KernelFilesOwner } from './kernel-files.js';
import { KernelWrites } from './kernel-writes.js';
import { KeyUpdates, type KeyUpdatesOwner, type RekeyCause } from './key-updates.js';
import { receiveFailure } from './receive-failure.js';
import { Receiver, type ReceiverSink } from './receiver.js';
import type { FileRequest } from './send-file.js';
import type { SessionShadow } from './session-shadow.js';
import { StreamReceiver, type StreamReceiverSink } from './stream-receiver.js';
import type { TcpSide } from './tcp-side.js';

const { ECANCELED, ECONNRESET, EPIPE } = constants.errno;

export interface KernelPathOwner extends PathOwner {
  /** What `net.Socket` itself does with the handle. */
  readonly handle: Pick<TcpSide, keyof TcpSide>;
  /** The keys of a direction have changed. */
  rekeyed(direction: 'tx' | 'rx', cause: RekeyCause): void;
}

export interface KernelPathParts {
  readonly channel: Channel;
  readonly installed: Installed;
  readonly isServer: boolean;
  /** Whether the kernel says nothing of a record that a read has met behind data (6.14 and later). */
  readonly parksRecords: boolean;
  /** `null` where keys cannot change: TLS 1.2, or a kernel that cannot. */
  readonly rekeying: Rekeying | null;
  /** Records after which our own key is changed. */
  readonly rekeyAfter: number;
  /** Takes the tickets of a TLS 1.3 client. */
  readonly shadow: SessionShadow | null;
}

/** Its parts tell it directly: objects and closures between them are most of what an idle connection takes. */
export class KernelPath
  implements DataPath, ReceiverSink, StreamReceiverSink, KernelFilesOwner, KeyUpdatesOwner
{
  readonly #channel: Channel;
  #installed: Installed;
  readonly #owner: KernelPathOwner;
  #receiver: Receiver | StreamReceiver;
  readonly #control: ControlRecords;
  readonly #shadow: SessionShadow | null;
  readonly #parksRecords: boolean;
  readonly #keyUpdates: KeyUpdates | null;
  readonly #writes: KernelWrites;
  readonly #files: KernelFiles;
  /** Payload bytes of control records. */
  #controlBytes = 0;
  #closing: Closing | null = null;
  #receiving = false;
  /** What the owner was last told, if anything. */
  #toldReceiving: boolean | null = null;
  #toldSending = false;
  /** Whether the channel tells of room to write, as it does at first. */
  #watchesWritable = true;
  #closed = false;
  #peerEnded = false;
  #finishing = false;

  constructor(parts: KernelPathParts, owner: KernelPathOwner) {
    const { channel, installed, isServer, parksRecords, rekeying, rekeyAfter, shadow } = parts;
    this.#channel = channel;
    this.#installed = installed;
    this.#owner = owner;
    this.#shadow = shadow;
    this.#files = new KernelFiles(channel, this);
    this.#parksRecords = parksRecords;
    this.#keyUpdates = rekeying && new KeyUpdates(channel, rekeying, rekeyAfter, this);
    this.#writes = new KernelWrites(owner.handle, this.#keyUpdates);
    this.#control = new ControlRecords(isServer, installed.version);
    this.#receiver = new Receiver(channel, this);
  }

  /**
   * Data goes from now on to whoever reads the handle, in native code. To be called while the handle
   * reads, before anything is read here.
   *
   * @returns whether it is so; if not, data is delivered to the owner as before.
   */
  feedStream(): boolean {
    const receiver = StreamReceiver.of(this.#channel, this, this.#parksRecords);
    if (receiver !== null) this.#receiver = receiver;
    return receiver !== null;
  }

  data(chunk: Buffer): boolean {
    const verdict = this.#control.dataArrived();
    this.#keyUpdates?.dataArrived(chunk.length);
    if (verdict.kind === 'continue') return this.#owner.deliver(chunk);
    this.#act(verdict);
    return false;
  }

  delivered(bytes: number): void {
    this.#control.dataArrived();
    this.#keyUpdates?.dataArrived(bytes);
  }

  forbidden(): void {
    this.#act(this.#control.dataArrived());
  }

  control(type: number, payload: Buffer): boolean {
    for (const verdict of this.#control.judge(type, payload)) {
      if (!this.#closed) this.#act(verdict);
    }
    return this.#control.withinMessage;
  }

  end(closeNotify = false): void {
    this.#peerEnded = true;
    this.#owner.deliverEnd(closeNotify);
  }

  failed(result: number): void {
    const { error, alert } = receiveFailure(result);
    if (alert !== null) {
      // The error is sticky, and would fail the alert, until SO_ERROR has been read.
      this.#channel.takeError();
      this.#sendAlert(AlertLevel.fatal, alert);
    }
    this.#owner.destroy(error);
  }

  waiting(waits: boolean): void {
    this.#receiving = waits;
    this.#wait();
  }

  read(): void {
    this.#receiver.start();
  }

  pause(): void {
    this.#receiver.pause();
  }

  ready(events: number): void {
    try {
      // What has come first: it says how a connection ended that is gone.
      if (events & ~Ready.WRITE && this.#receiver instanceof Receiver) this.#receiver.ready();
    } finally {
      // Even if a listener threw: no edge comes twice.
      if (events & Ready.HANGUP) this.#hungUp();
      if (events & Ready.WRITE) this.#writable();
    }
  }

  #writable(): void {
    this.#keyUpdates?.advance();
    this.#closing?.advance();
    this.#files.writable();
    if (!this.#sending && !this.#closed) this.#watchWritable(false);
  }

  /** A reset. Its error may be gone with what kernel TLS itself has sent: it goes on taking what is written. */
  #hungUp(): void {
    if (this.#finishing || this.#closed || this.#channel.tcpState() !== TCP_CLOSE) return;
    const error = errnoError(this.#peerEnded ? -EPIPE : -ECONNRESET, 'write');
    this.#writes.break(error);
    this.#files.interrupt(error);
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#writes.write(chunk, encoding, callback);
    if (this.#writes.waiting) this.#wait();
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#writes.writev(chunks, callback);
    if (this.#writes.waiting) this.#wait();
  }

  /** @returns whether the kernel limits its records to so many bytes of plaintext from now on. */
  setMaxFragment(bytes: number): boolean {
    const { fragmentLimit } = this.#installed;
    const most = Math.min(bytes, fragmentLimit ?? bytes);
    const limited = this.#channel.setMaxPayload(most) === 0;
    if (limited) this.#keyUpdates?.limitRecords(most);
    return limited;
  }

  /** Changes our own keys, and asks the peer to change its. */
  updateKeys(requestPeer: boolean, callback: WriteCallback): void {
    if (this.#keyUpdates === null) callback(new KtlsError('ERR_KTLS_NO_REKEY'));
    else this.#keyUpdates.update(requestPeer, 'application', callback);
    this.#wait();
  }

  installed(): Installed {
    return this.#installed;
  }

  reinstalled(installed: Installed): void {
    this.#installed = installed;
  }

  sendingElsewhere(): boolean {
    return this.#files.sendingElsewhere;
  }

  rekeyed(direction: 'tx' | 'rx', cause: RekeyCause): void {
    this.#owner.rekeyed(direction, cause);
  }

  keyUpdateSent(bytes: number): void {
    this.#controlBytes += bytes;
  }

  keyUpdateSettled(): void {
    if (this.#closed) {
      this.#writes.giveUp(errnoError(-ECANCELED, 'write'));
      return;
    }
    this.#writes.release();
    this.#files.writable();
    this.#wait();
  }

  keyUpdateFailed(error: Error): void {
    this.#receiver.stop();
    this.#owner.destroy(error);
  }

  /** Whether `TLS_TX_ZEROCOPY_RO` is set. */
  get zeroCopy(): boolean {
    return this.#files.zeroCopy;
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    if (this.#writes.broken !== null) {
      callback(this.#writes.broken);
      return;
    }
    this.#files.sendFile(request, (error) => {
      if (!this.#closed) this.#keyUpdates?.advance();
      this.#wait();
      callback(error);
    });
    this.#wait();
  }

  fd(): number {
    return this.#owner.handle.fd();
  }

  writeData(data: Buffer, callback: WriteCallback): void {
    // A KeyUpdate may have waited for the thread that sent what is in front of this, and for nothing else.
    this.#keyUpdates?.advance();
    this.write(data, 'buffer' as BufferEncoding, callback);
  }

  mayContinue(bytes: number): boolean {
    this.#keyUpdates?.advance();
    const may = this.#writes.mayWrite(bytes, 1);
    if (!may) this.#wait();
    return may;
  }

  fileProgress(bytes: number): void {
    this.#owner.fileProgress(bytes);
  }

  reset(error: Error): void {
    this.#owner.reset(error);
  }

  finish(callback: WriteCallback): void {
    this.#finishing = true;
    // Nothing is to follow close_notify.
    this.#writes.break(errnoError(-EPIPE, 'write'));
    this.#keyUpdates?.stopSending();
    this.#closing = new Closing(
      this.#channel,
      this.#installed,
      () => this.#owner.handle.bytesWritten() + this.#controlBytes + this.#files.bytes,
      () => this.#peerEnded,
      (error) => {
        this.#closing = null;
        this.#wait();
        if (error === null) this.#owner.handle.shutdown(callback);
        else callback(error);
      },
    );
    this.#wait();
    this.#closing.advance();
  }

  get #sending(): boolean {
    return this.#closing !== null || this.#files.busy || this.#keyUpdates?.pending === true;
  }

  /** The event loop lives on for data to come, and for what is not yet with TCP. */
  #wait(): void {
    if (this.#closed) return;
    const [receiving, sending] = [this.#receiving, this.#sending];
    if (sending) this.#watchWritable(true);
    if (receiving === this.#toldReceiving && sending === this.#toldSending) return;
    this.#toldReceiving = receiving;
    this.#toldSending = sending;
    this.#owner.waiting(receiving, sending);
  }

  /** Each time that the peer has made room costs a wake-up, if one asks for it. */
  #watchWritable(watches: boolean): void {
    if (watches === this.#watchesWritable) return;
    this.#watchesWritable = watches;
    this.#channel.watchWritable(watches ? 1 : 0);
  }

  close(error: Error | null): void {
    this.#receiver.stop();
    this.#closed = true;
    this.#keyUpdates?.close();
    this.#shadow?.wipe();
    this.#closing?.cancel();
    this.#files.interrupt(error);
  }

  #act(verdict: Verdict): void {
    switch (verdict.kind) {
      case 'continue':
        break;
      case 'closeNotify':
        this.#receiver.stop();
        this.end(true);
        break;
      case 'warn':
        this.#sendAlert(AlertLevel.warning, verdict.alert);
        break;
      case 'ticket':
        this.#takeTicket(verdict.message);
        break;
      case 'keyUpdate':
        this.#followKeyUpdate(verdict.updateRequested);
        break;
      case 'sameKey':
        this.#keyUpdates?.mistaken();
        break;
      case 'fail':
        this.#receiver.stop();
        if (verdict.alert !== null) this.#sendAlert(AlertLevel.fatal, verdict.alert);
        this.#owner.destroy(verdict.error);
    }
  }

  #takeTicket(message: Buffer): void {
    const error = this.#shadow?.ticket(message) ?? null;
    if (error !== null) {
      this.#act({ kind: 'fail', error, alert: AlertDescription.decodeError });
    }
  }

  #followKeyUpdate(updateRequested: boolean): void {
    try {
      if (this.#keyUpdates === null) throw new KtlsError('ERR_KTLS_KEY_UPDATE');
      this.#keyUpdates.received(updateRequested);
    } catch (error) {
      const flood = (error as KtlsError).code === 'ERR_KTLS_RECORD_FLOOD';
      const { unexpectedMessage, internalError } = AlertDescription;
      const alert = flood ? unexpectedMessage : internalError;
      this.#act({ kind: 'fail', error: error as Error, alert });
    }
    this.#wait();
  }

  /** As far as the send buffer allows: an alert is a courtesy. */
  #sendAlert(level: number, description: number): void {
    // Behind a fatal alert the socket is closed, with a reset if the peer's records are still unread:
    // what Nagle's algorithm holds back by then is lost.
    if (level === AlertLevel.fatal) this.#owner.handle.setNoDelay();
    const sent = this.#channel.sendRecord(ContentType.alert, buildAlert(level, description));
    if (sent > 0) this.#controlBytes += sent;
  }
}

/**
 * The data path of a connection under kernel TLS: libuv writes to the untouched handle, the receiver
 * reads, control records are judged and acted upon here.
 */
import { constants } from 'node:os';
import { KtlsError, errnoError } from '../errors.js';
import { type Channel, Ready, loadBinding } from '../kernel/binding.js';
import type { SendFileOptions } from '../options.js';
import type { Installed } from '../kernel/install.js';
import { AlertDescription, AlertLevel, buildAlert } from '../tls/alerts.js';
import { ContentType } from '../tls/constants.js';
import { Closing } from './closing.js';
import { ControlRecords, type Verdict } from './control-records.js';
import type { Chunk, DataPath, PathOwner, WriteCallback } from './data-path.js';
import type { OpenFile } from './file-source.js';
import { FileTransfer, type TransferSink } from './file-transfer.js';
import { Receiver } from './receiver.js';
import type { FileCarrier, FileRequest } from './send-file.js';

const { EBADMSG, EINVAL, EMSGSIZE } = constants.errno;

export interface KernelPathOwner extends PathOwner {
  /** What `net.Socket` itself does with the handle. */
  readonly handle: {
    write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void;
    writev(chunks: Chunk[], callback: WriteCallback): void;
    /** Sends FIN. */
    shutdown(callback: WriteCallback): void;
    /** Lets nothing wait for an acknowledgement (Nagle) any more. */
    setNoDelay(): void;
    fd(): number;
    /** Plaintext bytes written so far, files aside. */
    bytesWritten(): number;
  };
}

export class KernelPath implements DataPath, FileCarrier {
  readonly #channel: Channel;
  readonly #installed: Installed;
  readonly #owner: KernelPathOwner;
  readonly #receiver: Receiver;
  readonly #control: ControlRecords;
  #alertBytes = 0;
  #fileBytes = 0;
  #file: FileRequest | null = null;
  #transfer: FileTransfer | null = null;
  #zeroCopy = false;
  #closing: Closing | null = null;
  #receiving = false;

  constructor(channel: Channel, installed: Installed, isServer: boolean, owner: KernelPathOwner) {
    this.#channel = channel;
    this.#installed = installed;
    this.#owner = owner;
    this.#control = new ControlRecords(isServer, installed.version);
    this.#receiver = new Receiver(channel, {
      data: (chunk) => {
        const verdict = this.#control.dataArrived();
        if (verdict.kind === 'continue') return owner.deliver(chunk);
        this.#act(verdict);
        return false;
      },
      control: (type, payload) => this.#act(this.#control.judge(type, payload)),
      end: () => owner.deliverEnd(false),
      failed: (result) => this.#receiveFailed(result),
      waiting: (waits) => {
        this.#receiving = waits;
        this.#wait();
      },
    });
  }

  read(): void {
    this.#receiver.start();
  }

  pause(): void {
    this.#receiver.pause();
  }

  ready(events: number): void {
    if (events & Ready.WRITE) {
      this.#closing?.advance();
      this.#transfer?.writable();
    }
    if (events & ~Ready.WRITE) this.#receiver.ready();
  }

  write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    this.#owner.handle.write(chunk, encoding, callback);
  }

  writev(chunks: Chunk[], callback: WriteCallback): void {
    this.#owner.handle.writev(chunks, callback);
  }

  /** Whether `TLS_TX_ZEROCOPY_RO` is set. */
  get zeroCopy(): boolean {
    return this.#zeroCopy;
  }

  sendFile(request: FileRequest, callback: WriteCallback): void {
    this.#file = request;
    this.#wait();
    request.run(this, (error) => {
      this.#file = null;
      this.#transfer = null;
      this.#wait();
      callback(error);
    });
  }

  writeData(data: Buffer, callback: WriteCallback): void {
    this.#owner.handle.write(data, 'buffer' as BufferEncoding, callback);
  }

  send(file: OpenFile, { chunkSize, immutable }: SendFileOptions, sink: TransferSink) {
    const binding = loadBinding();
    if (binding instanceof Error) throw binding;
    if (immutable !== this.#zeroCopy && this.#channel.setZeroCopy(immutable ? 1 : 0) === 0) {
      this.#zeroCopy = immutable;
    }
    this.#transfer = new FileTransfer(binding, this.#owner.handle.fd(), file, chunkSize, {
      progress: (bytes) => {
        this.#fileBytes += bytes;
        this.#owner.fileProgress(bytes);
        sink.progress(bytes);
      },
      done: sink.done,
    });
    return this.#transfer;
  }

  reset(error: Error): void {
    this.#owner.reset(error);
  }

  /**
   * Runs `action` when no chunk of a file is in the thread pool: what sends records of its own accord and
   * must not be overtaken, such as a change of keys.
   */
  betweenChunks(action: () => void): void {
    if (this.#transfer === null) action();
    else this.#transfer.betweenChunks(action);
  }

  finish(callback: WriteCallback): void {
    this.#closing = new Closing(
      this.#channel,
      this.#installed,
      () => this.#owner.handle.bytesWritten() + this.#alertBytes + this.#fileBytes,
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

  /** The event loop lives on for data to come, for an end that is not yet with TCP, and for a file. */
  #wait(): void {
    this.#owner.waiting(this.#receiving || this.#closing !== null || this.#file !== null);
  }

  close(error: Error | null): void {
    this.#receiver.stop();
    this.#closing?.cancel();
    this.#file?.interrupt(error);
  }

  #act(verdict: Verdict): void {
    switch (verdict.kind) {
      case 'continue':
        break;
      case 'closeNotify':
        this.#receiver.stop();
        this.#owner.deliverEnd(true);
        break;
      case 'warn':
        this.#sendAlert(AlertLevel.warning, verdict.alert);
        break;
      case 'fail':
        this.#receiver.stop();
        if (verdict.alert !== null) this.#sendAlert(AlertLevel.fatal, verdict.alert);
        this.#owner.destroy(verdict.error);
    }
  }

  /** The kernel's errno as TLS means it (net/tls/tls_sw.c, tls_strp.c). */
  #receiveFailed(result: number): void {
    const cause = errnoError(result, 'recvmsg');
    switch (-result) {
      case EBADMSG:
        this.#end(
          new KtlsError('ERR_KTLS_BAD_RECORD', undefined, cause),
          AlertDescription.badRecordMac,
        );
        break;
      case EMSGSIZE:
        this.#end(
          new KtlsError('ERR_KTLS_RECORD_OVERFLOW', undefined, cause),
          AlertDescription.recordOverflow,
        );
        break;
      case EINVAL:
        this.#end(
          new KtlsError('ERR_KTLS_RECORD_VERSION', undefined, cause),
          AlertDescription.protocolVersion,
        );
        break;
      default:
        this.#owner.destroy(errnoError(result, 'read'));
    }
  }

  #end(error: KtlsError, alert: number): void {
    // The error is sticky, and would fail the alert, until SO_ERROR has been read.
    this.#channel.takeError();
    this.#sendAlert(AlertLevel.fatal, alert);
    this.#owner.destroy(error);
  }

  /** As far as the send buffer allows: an alert is a courtesy. */
  #sendAlert(level: number, description: number): void {
    // Behind a fatal alert the socket is closed, with a reset if the peer's records are still unread:
    // what Nagle's algorithm holds back by then is lost.
    if (level === AlertLevel.fatal) this.#owner.handle.setNoDelay();
    const sent = this.#channel.sendRecord(ContentType.alert, buildAlert(level, description));
    if (sent > 0) this.#alertBytes += sent;
  }
}

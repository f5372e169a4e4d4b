/**
 * One handshake: node:tls over a RecordTransport, watched by a HandshakeObserver, up to the moment at
 * which the connection can change hands. It installs nothing: it says that node:tls has stopped reading
 * exactly behind the handshake and has nothing left to send, or that the connection must stay with it.
 */
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import * as tls from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { KtlsError, errnoError } from '../errors.js';
import { type Channel, Ready } from '../kernel/binding.js';
import {
  type ConnectionListener,
  freeTls,
  handshakeTimeoutOf,
  keepsKeylog,
  learnPeer,
  presentHost,
  pskCallbackWith,
  serverFacade,
  setConnecting,
} from '../node-private.js';
import { unharmed } from '../unharmed.js';
import { HandshakeObserver } from './observer.js';
import { RecordTransport } from './record-transport.js';

/** node:tls's own, whatever takes its place later on (`ktls/register`). */
const { connect: connectTls } = tls;

/** The socket on whose behalf the handshake runs. */
export interface HandshakeOwner {
  /** The socket itself, for listeners that are told of one. */
  readonly socket: Socket;
  readonly allowHalfOpen: boolean;
  /** Ends the writing side of the TCP connection. */
  shutdown(callback: (error?: Error | null) => void): void;
  /**
   * The peer is verified and node:tls reads no further. Asked once, at once: a refusal leaves the
   * connection with node:tls.
   */
  refuses(handshake: Handshake, tls: TLSSocket): KtlsError | null;
  /** node:tls is idle on a record boundary: the keys can be installed. */
  settled(handshake: Handshake, tls: TLSSocket): void;
  /** The connection stays with node:tls. */
  refused(tls: TLSSocket, reason: KtlsError): void;
  /** node:tls reports that a server's handshake has failed; it is about to close the connection. */
  rejected(error: Error, tls?: TLSSocket): void;
  /** A client's TLSSocket emits an event. What the application does not listen to is to be wiped. */
  emitted(event: ForwardedEvent, data: Buffer): void;
  /** The handshake, or its TCP connection, is over without success. */
  failed(error?: Error): void;
}

const forwarded = ['session', 'keylog', 'OCSPResponse'] as const;
export type ForwardedEvent = (typeof forwarded)[number];

type Phase = 'running' | 'settling' | 'over';

/**
 * Bytes that node:tls may get without writing anything: it keeps all of them while it waits for a callback of the
 * application's (SNI, OCSP, a session). OpenSSL takes 131,072 of a ClientHello, and certificates of 102,400.
 */
const MOST_UNANSWERED = 256 * 1024;

export class Handshake {
  readonly observer: HandshakeObserver;
  readonly #owner: HandshakeOwner;
  readonly #transport: RecordTransport;
  #phase: Phase = 'running';
  #tls: TLSSocket | null = null;
  /** node:tls stays in charge: nothing is held back any more. */
  #released = false;
  #sessionsPending = 0;
  #unanswered = 0;
  /** Of sessions that are being stored. */
  #deadline: NodeJS.Timeout | undefined;
  /** What node:tls had against a record that came when all was over. */
  #objection: Error | null = null;

  private constructor(owner: HandshakeOwner, isServer: boolean) {
    this.#owner = owner;
    this.observer = new HandshakeObserver(isServer);
    this.#transport = new RecordTransport(
      {
        received: (record) => this.#received(record),
        sent: (chunk) => this.#sent(chunk),
        mayReceive: () => this.#released || (!this.observer.receivedAll && !this.#isFull),
        rested: () => this.#settle(),
        shutdown: (callback) => owner.shutdown(callback),
      },
      owner.allowHalfOpen,
    );
    // Closed by node:tls, it closes before node:tls says why.
    this.#transport.once('close', () => setImmediate(() => this.#fail()));
    this.#transport.on('error', (error) => {
      // Up to 'secure' node:tls reports it; from there on a server's TLSSocket has nobody to report to.
      if (this.#phase === 'settling') this.#fail(error);
    });
  }

  /**
   * @param listener - The server's own 'connection' listener: it makes the TLSSocket, with every option
   * of the server.
   */
  static accept(
    owner: HandshakeOwner,
    server: tls.Server,
    listener: ConnectionListener,
  ): Handshake {
    const handshake = new Handshake(owner, true);
    const facade = serverFacade(server, {
      listenerCount: (event) => server.listenerCount(event) + (event === 'keylog' ? 1 : 0),
      emit: (event, ...args) => handshake.#serverEvent(server, event, args),
      ...pskCallbackWith(server, () => handshake.#socket),
    });
    listener.call(facade, handshake.#transport);
    handshake.#transport.keepWritable();
    return handshake;
  }

  /**
   * @param options - Those of `tls.connect`, less what concerns the TCP connection and the consumer.
   * @param raw - The user's own socket: it may know the server's name.
   */
  static connect(owner: HandshakeOwner, options: tls.ConnectionOptions, raw?: Socket): Handshake {
    const handshake = new Handshake(owner, false);
    // As node:tls does on a TCP socket, it begins when the connection stands: until then a session or a name
    // can be set, and what fails at once has a connection on which to tell the peer.
    setConnecting(handshake.#transport, true);
    if (raw !== undefined) presentHost(handshake.#transport, raw);
    const socket = connectTls({ ...unthrowing(options), socket: handshake.#transport });
    handshake.#transport.keepWritable();
    handshake.#tls = socket;
    socket.on('keylog', (line: Buffer) => handshake.observer.keylog(line));
    for (const event of forwarded) {
      socket.on(event, (data: Buffer) => {
        unharmed(() => owner.emitted(event, data));
      });
    }
    socket.on('error', (error: Error) => handshake.#fail(error));
    socket.on('secureConnect', () => handshake.#secure(socket));
    return handshake;
  }

  get tls(): TLSSocket | null {
    return this.#tls;
  }

  /** Whether node:tls has been told that the TCP stream has ended. */
  get peerEnded(): boolean {
    return this.#transport.peerEnded;
  }

  /** The TCP connection stands. */
  attach(channel: Channel): void {
    this.#transport.attach(channel);
  }

  ready(events: number): void {
    // Nobody reads while sessions are being stored.
    if (events & Ready.HANGUP && this.#phase === 'settling' && this.#sessionsPending > 0) {
      this.#fail(errnoError(-constants.errno.ECONNRESET, 'read'));
    } else this.#transport.ready(events);
  }

  /** @returns whether node:tls may see it */
  #received(record: Uint8Array): boolean {
    if (this.#released) return true;
    this.#unanswered += record.length;
    this.observer.received(record);
    if (!this.observer.overrun) return true;
    this.#fail(new KtlsError('ERR_KTLS_UNEXPECTED_RECORD'));
    return false;
  }

  get #isFull(): boolean {
    return this.#unanswered > MOST_UNANSWERED;
  }

  #sent(chunk: Uint8Array): void {
    if (this.#released) return;
    this.observer.sent(chunk);
    if (this.#isFull) process.nextTick(() => this.#transport.continueReceiving());
    this.#unanswered = 0;
  }

  /**
   * After the hand-over: the TLS object has no connection any more, and sends nothing, not even a
   * close_notify. A server's is freed. A client's lives on to take session tickets, until `free`.
   */
  retire(): void {
    this.#phase = 'over';
    this.observer.secrets.wipe();
    this.#transport.retire();
    if (this.observer.isServer) freeTls(this.#tls!);
  }

  /**
   * Gives the TLS object of a retired client one more record.
   *
   * @returns what OpenSSL has against it, of which nobody else hears
   */
  feed(record: Buffer): Error | null {
    const tls = this.#tls;
    if (tls?.destroyed !== false) return null;
    this.#transport.feed(record);
    return this.#objection ?? tls.errored;
  }

  /** Frees the TLS object of a retired client. */
  free(): void {
    // Not on OpenSSL's stack, on which a listener of 'session' may stand.
    setImmediate(() => {
      if (this.#tls !== null) freeTls(this.#tls);
      this.#tls = null;
    });
  }

  /** node:tls keeps the connection. */
  release(): void {
    this.#phase = 'over';
    this.#released = true;
    this.observer.secrets.wipe();
    this.#transport.carryData();
    // Once there is somebody for what comes.
    process.nextTick(() => this.#transport.continueReceiving());
  }

  /** The socket is being destroyed. */
  abandon(error: Error | null): void {
    this.#phase = 'over';
    clearTimeout(this.#deadline);
    this.observer.secrets.wipe();
    if (this.#tls !== null) this.#tls.destroy(error ?? undefined);
    else this.#transport.destroy();
  }

  /** The owner's, for a callback of the application's on a server. */
  get #socket(): Socket {
    const { socket } = this.#owner;
    learnPeer(socket);
    return socket;
  }

  #serverEvent(server: tls.Server, event: string | symbol, args: unknown[]): boolean {
    switch (event) {
      case 'keylog': {
        const [line, socket] = args as [Buffer, TLSSocket];
        this.#tls = socket;
        this.observer.keylog(line);
        // A secret that nobody has asked for must not wait for the garbage collector.
        if (server.listenerCount(event) === 0) {
          if (!keepsKeylog) line.fill(0);
          return false;
        }
        return heard(() => server.emit(event, line, this.#socket));
      }
      case 'secureConnection':
        this.#secure(args[0] as TLSSocket);
        return true;
      case 'tlsClientError':
        // With a TLSSocket that knows no addresses, since it stands on no TCP socket.
        this.#owner.rejected(args[0] as Error, args[1] as TLSSocket);
        return true;
      case 'newSession': {
        // node:tls holds its last records back until the listener has stored the session.
        const [id, session, done] = args as [Buffer, Buffer, () => void];
        if (server.listenerCount(event) === 0) return false;
        this.#sessionsPending++;
        this.#limitStoring();
        let stored = false;
        const goOn = (): void => {
          done();
          if (stored) return;
          stored = true;
          if (--this.#sessionsPending === 0) clearTimeout(this.#deadline);
          this.#settleLater();
        };
        return heard(() => server.emit(event, id, session, goOn), goOn);
      }
    }
    return heard(() => server.emit(event as string, ...args));
  }

  #secure(socket: TLSSocket): void {
    this.#tls = socket;
    if (this.#phase !== 'running') return;
    const refusal = this.#owner.refuses(this, socket);
    if (refusal !== null) {
      this.release();
      this.#owner.refused(socket, refusal);
      return;
    }
    this.#phase = 'settling';
    if (this.observer.isServer) {
      // A server's own listener hears of errors up to now only.
      socket.on('error', (error: Error) => this.#fail(error));
      this.#limitStoring();
    }
    // Else it comes when the transport rests.
    if (!this.#transport.busy) this.#settleLater();
  }

  /** What the application takes to store sessions when node:tls counts the handshake as done. */
  #limitStoring(): void {
    if (this.#phase !== 'settling' || this.#sessionsPending === 0) return;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      const error = new Error('TLS handshake timeout: a session is still being stored');
      this.#fail(Object.assign(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }));
    }, handshakeTimeoutOf(this.#tls!));
    this.#deadline.unref();
  }

  /** Off OpenSSL's stack, on which node:tls has not yet written its last records. */
  #settleLater(): void {
    setImmediate(() => this.#settle());
  }

  /**
   * node:tls writes what it has when it is given a record, when it is told that the write before is done and
   * when a listener gives its answer, and within that call: the transport rests when those calls have
   * returned and no write has come of them.
   */
  #settle(): void {
    if (this.#phase !== 'settling') return;
    if (this.#transport.busy || this.#sessionsPending > 0) return;
    if (!this.observer.onRecordBoundary || !this.observer.sentFinished) return;
    if (this.observer.secrets.repeated) {
      this.#fail(new KtlsError('ERR_KTLS_SECRETS'));
      return;
    }
    this.#phase = 'over';
    this.#owner.settled(this, this.#tls!);
  }

  #fail(error?: Error): void {
    if (this.#phase === 'over') {
      this.#objection = error ?? null;
      return;
    }
    this.#phase = 'over';
    this.observer.secrets.wipe();
    this.#owner.failed(error);
  }
}

/** An exception of `checkServerIdentity` is no identity: the connection is refused for it. */
function unthrowing(options: tls.ConnectionOptions): tls.ConnectionOptions {
  const { checkServerIdentity } = options;
  if (typeof checkServerIdentity !== 'function') return options;
  return {
    ...options,
    checkServerIdentity: (host, certificate) =>
      unharmed(
        () => checkServerIdentity.call(options, host, certificate),
        (error) => (error instanceof Error ? error : new Error(String(error))),
      ),
  };
}

/**
 * We stand on OpenSSL's stack, and an exception of a listener would break the handshake.
 *
 * @returns whether there was a listener
 */
function heard(emit: () => boolean, afterThrow?: () => void): boolean {
  return unharmed(emit, () => {
    afterThrow?.();
    return true;
  });
}

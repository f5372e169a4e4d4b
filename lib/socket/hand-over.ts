/**
 * How a TCP connection becomes a secured one: the kernel's TLS layer, node:tls's handshake below which it
 * waits, then the keys. What comes of it is told once: the connection is under kernel TLS, or it stays with
 * node:tls, or it has failed.
 */
import type { Socket } from 'node:net';
import type { ConnectionOptions, Server, TLSSocket } from 'node:tls';
import { KtlsError } from '../errors.js';
import { Handshake, type HandshakeOwner } from '../handshake/handshake.js';
import { snapshot } from '../handshake/negotiated.js';
import { type Channel, loadBinding } from '../kernel/binding.js';
import { kernelFeatures } from '../kernel/features.js';
import { install } from '../kernel/install.js';
import { type Plan, plan } from '../kernel/plan.js';
import { ulpRefusal } from '../kernel/probe.js';
import * as node from '../node-private.js';
import type { OffloadSettings } from '../options.js';
import { type Outlives, outlives } from './after-handshake.js';
import type { WriteCallback } from './data-path.js';

export interface HandOverOwner extends Pick<
  HandshakeOwner,
  'socket' | 'allowHalfOpen' | 'rejected' | 'emitted' | 'failed'
> {
  readonly settings: OffloadSettings;
  /** The connection is, or is going to be, that of another socket. */
  bound(taken: node.TakenOver): void;
  /** The owner has that socket's handle from now on. */
  adopted(handle: node.TcpHandle): void;
  /** The handle is watched: `channelReady` is called from now on. */
  attached(channel: Channel): void;
  channelReady(events: number): void;
  /** Sends FIN. */
  shutdown(callback: WriteCallback): void;
  /** The keys are installed. */
  offloaded(left: Outlives): void;
  /** The connection stays with node:tls. */
  refused(tls: TLSSocket, reason: KtlsError): void;
}

export class HandOver {
  readonly #owner: HandOverOwner;
  readonly #handshake: Handshake;
  #channel: Channel | null = null;
  #plan: Plan | null = null;
  #refusal: KtlsError | null = null;

  private constructor(owner: HandOverOwner, start: (owner: HandshakeOwner) => Handshake) {
    this.#owner = owner;
    this.#handshake = start({
      ...owner,
      refuses: (handshake, tls) => this.#refuses(handshake, tls),
      settled: (handshake, tls) => this.#settled(handshake, tls),
    });
  }

  /**
   * Client: the TCP connection is made by the owner, which calls `tcpConnected` at its 'connect', or is that
   * of `raw` (`takeOver`); node:tls is ready when it stands.
   */
  static connect(owner: HandOverOwner, options: ConnectionOptions, raw?: Socket): HandOver {
    return new HandOver(owner, (inner) => Handshake.connect(inner, options, raw));
  }

  /** Server: the owner has the handle of `raw` already; to be attached to its channel. */
  static accept(
    owner: HandOverOwner,
    server: Server,
    listener: node.ConnectionListener,
    raw: Socket,
  ): HandOver {
    if (node.isUnseen(raw, server)) {
      node.succeed(raw, owner.socket);
    } else {
      const taken = node.bindLives(raw, owner.socket);
      owner.bound(taken);
      taken.handleGone();
    }
    return new HandOver(owner, (inner) => Handshake.accept(inner, server, listener));
  }

  /** node:tls's object, once it is there. */
  get tls(): TLSSocket | null {
    return this.#handshake.tls;
  }

  /** Whether node:tls has been told that the TCP stream has ended. */
  get peerEnded(): boolean {
    return this.#handshake.peerEnded;
  }

  ready(events: number): void {
    this.#handshake.ready(events);
  }

  /** The owner is destroyed. */
  abandon(error: Error | null): void {
    this.#handshake.abandon(error);
  }

  /** @param raw - Is, or is going to be, a plain TCP socket with nothing buffered. */
  takeOver(raw: Socket): void {
    const { socket } = this.#owner;
    const taken = node.bindLives(raw, socket);
    this.#owner.bound(taken);
    const taking = (then: () => void) => (): void => {
      const handle = node.handleOf(raw);
      if (handle === null || socket.destroyed) return;
      taken.handleGone();
      node.adoptHandle(socket, handle);
      this.#owner.adopted(handle);
      node.setConnecting(socket, false);
      then();
    };
    // As by node:tls nothing is told of a connection that is there already, and of one to come no 'ready'.
    if (!raw.connecting) {
      taking(() => this.tcpConnected())();
      return;
    }
    const take = taking(() => socket.emit('connect'));
    raw.once('connect', () => {
      const handle = node.handleOf(raw);
      // By another listener, which came first.
      if (handle === null) return;
      // Before libuv reads; and what somebody has written in the meantime goes ahead.
      node.claimReading(handle);
      if (node.plainTcpHandle(raw) !== null) take();
      else raw.write('', take);
    });
  }

  /** Client: the TCP connection of the owner stands. */
  tcpConnected(): void {
    const handle = node.handleOf(this.#owner.socket);
    const binding = loadBinding();
    if (handle === null || binding instanceof Error) return;
    let channel: Channel;
    try {
      channel = new binding.Channel(handle.fd, (events) => this.#owner.channelReady(events));
    } catch (error) {
      this.#owner.failed(error as Error);
      return;
    }
    node.claimReading(handle);
    const ulp = channel.attachUlp();
    if (ulp < 0) this.#refusal = ulpRefusal(ulp);
    this.attach(channel);
  }

  /** The TLS layer is attached to the connection; the handshake begins. */
  attach(channel: Channel): void {
    this.#channel = channel;
    node.closeFirst(node.handleOf(this.#owner.socket)!, channel);
    this.#owner.attached(channel);
    this.#handshake.attach(channel);
  }

  #refuses({ observer }: Handshake, tls: TLSSocket): KtlsError | null {
    if (this.#refusal !== null) return this.#refusal;
    if (observer.unframed) return new KtlsError('ERR_KTLS_VERSION', 'the ClientHello is of SSLv2');
    const { isServer, secrets, serverRandom, receiveSequence, fragmentLimit } = observer;
    const planned = plan({
      isServer,
      protocol: tls.getProtocol(),
      cipher: tls.getCipher().name,
      secrets,
      serverRandom,
      receiveSequence,
      fragmentLimit,
    });
    if (planned instanceof KtlsError) return planned;
    this.#plan = planned;
    return null;
  }

  #settled(handshake: Handshake, tls: TLSSocket): void {
    const channel = this.#channel!;
    const { rekeyAfter, expectNoPadding } = this.#owner.settings;
    let installed;
    let left: Outlives;
    try {
      const negotiated = snapshot(tls);
      installed = install(channel, this.#plan!, handshake.observer.sendState);
      if (!(installed instanceof KtlsError)) {
        left = outlives(handshake, tls, negotiated, channel, installed, rekeyAfter);
      }
    } catch (error) {
      this.#owner.failed(error as KtlsError);
      return;
    }
    if (installed instanceof KtlsError) {
      handshake.release();
      this.#owner.refused(tls, installed);
      return;
    }
    // A permission: it may be left unused, and must be where padded records would go wrong.
    if (expectNoPadding && kernelFeatures().noPad === 0) channel.expectNoPadding();
    handshake.retire();
    this.#owner.offloaded(left!);
  }
}

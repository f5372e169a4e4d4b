/** Two native channels, one on each end of a loopback connection, and keys for them: no handshake. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'vitest';
import { type Channel, Direction, receivedLength, receivedType } from '../../lib/kernel/binding.js';
import { fdOf, native, tcpPair } from './native.js';
import { TcpEnd } from './tcp-state.js';

const { EAGAIN } = constants.errno;

export const TLS12 = 0x0303;
export const TLS13 = 0x0304;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const DATA = 23;
export const SEQUENCE = 8;

export interface Aead {
  name: string;
  cipher: number;
  key: number;
  salt: number;
  iv: number;
  /** node:crypto's name, where it has the algorithm. */
  algorithm?: string;
}

/** Lengths as in `<linux/tls.h>`, repeated here so that the addon's table has something to be held to. */
export const AEADS: Aead[] = [
  { name: 'AES-128-GCM', cipher: 51, key: 16, salt: 4, iv: 8, algorithm: 'aes-128-gcm' },
  { name: 'AES-256-GCM', cipher: 52, key: 32, salt: 4, iv: 8, algorithm: 'aes-256-gcm' },
  { name: 'AES-128-CCM', cipher: 53, key: 16, salt: 4, iv: 8, algorithm: 'aes-128-ccm' },
  {
    name: 'ChaCha20-Poly1305',
    cipher: 54,
    key: 32,
    salt: 0,
    iv: 12,
    algorithm: 'chacha20-poly1305',
  },
  { name: 'SM4-GCM', cipher: 55, key: 16, salt: 4, iv: 8 },
  { name: 'SM4-CCM', cipher: 56, key: 16, salt: 4, iv: 8 },
  { name: 'ARIA-128-GCM', cipher: 57, key: 16, salt: 4, iv: 8, algorithm: 'aria-128-gcm' },
  { name: 'ARIA-256-GCM', cipher: 58, key: 32, salt: 4, iv: 8, algorithm: 'aria-256-gcm' },
];
export const AES128 = AEADS[0]!;

export const VERSIONS = [
  { version: TLS12, versionName: 'TLS 1.2' },
  { version: TLS13, versionName: 'TLS 1.3' },
];

export function makeMaterial(aead: Aead, sequence = 0n): Buffer {
  const material = randomBytes(aead.key + aead.salt + aead.iv + SEQUENCE);
  material.writeBigUInt64BE(sequence, material.length - SEQUENCE);
  return material;
}

export interface Suite {
  version: number;
  aead: Aead;
}

/** Two channels, one on each end of a connection. */
export class KernelPair implements AsyncDisposable {
  readonly a: Channel;
  readonly b: Channel;

  readonly sockets: Socket[];
  readonly #suite: Suite;

  private constructor(sockets: Socket[], suite: Suite) {
    this.sockets = sockets;
    this.#suite = suite;
    const { Channel } = native();
    this.a = new Channel(fdOf(sockets[0]!), () => undefined);
    this.b = new Channel(fdOf(sockets[1]!), () => undefined);
  }

  static async open(suite: Suite, host?: string): Promise<KernelPair> {
    const { peer, socket } = await tcpPair(host);
    const pair = new KernelPair([socket, peer], suite);
    expect(pair.a.attachUlp()).toBe(0);
    expect(pair.b.attachUlp()).toBe(0);
    return pair;
  }

  /** With keys for what `a` sends and `b` receives. */
  static async keyed(suite: Suite, sequence = 0n): Promise<KernelPair> {
    const pair = await KernelPair.open(suite);
    const material = makeMaterial(suite.aead, sequence);
    expect(pair.install(pair.b, Direction.RX, Buffer.from(material))).toBe(0);
    expect(pair.install(pair.a, Direction.TX, material)).toBe(0);
    return pair;
  }

  install(channel: Channel, direction: Direction, material: Uint8Array): number {
    const { version, aead } = this.#suite;
    return channel.installKeys(direction, version, aead.cipher, material);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.a.close();
    this.b.close();
    for (const socket of this.sockets) socket.destroy();
    await wait(0);
  }
}

/** Waits until what `from` has sent is there to be received: a system call may bring a part of it. */
export const arrived = (from: Socket): Promise<void> => new TcpEnd(from).delivered();

export interface Message {
  type: number;
  payload: Buffer;
}

/** The next message, or a negated errno. */
export async function receive(channel: Channel, size = 65536): Promise<Message | number> {
  const target = Buffer.alloc(size);
  for (let tries = 0; tries < 2000; tries++) {
    const result = channel.receive(target, 0);
    if (result === -EAGAIN) {
      await wait(1);
      continue;
    }
    if (result < 0) return result;
    return {
      type: receivedType(result),
      payload: target.subarray(0, receivedLength(result)),
    };
  }
  throw new Error('nothing came');
}

/**
 * TLS 1.2: a client that puts more into the record of its Finished. OpenSSL acts on that within the call that
 * ends the handshake, so that what node:tls has verified and what the keys are of would be two things.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import * as tls from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { cipherSuiteByName } from '../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../lib/tls/constants.js';
import { type WriteKeys, keyBlock } from '../../lib/tls/key-schedule.js';
import { listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

const cipher = 'ECDHE-ECDSA-AES128-GCM-SHA256';
const limits = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: cipher } as const;

/** RFC 5246 section 6.2.3.3, and RFC 5288. */
function additionalData(type: number, length: number): Buffer {
  const bytes = Buffer.alloc(13);
  bytes.set([type, 3, 3, length >> 8, length & 255], 8);
  return bytes;
}

/** The first record under the client's keys, with `more` in it behind what it has. */
function extend({ key, iv }: WriteKeys, record: Buffer, more: Buffer): Buffer {
  const explicit = record.subarray(5, 13);
  const nonce = Buffer.concat([iv.subarray(0, 4), explicit]);
  const body = record.subarray(13, -16);
  const decipher = createDecipheriv('aes-128-gcm', key, nonce);
  decipher.setAuthTag(record.subarray(-16)).setAAD(additionalData(record[0]!, body.length));
  const plain = Buffer.concat([decipher.update(body), decipher.final(), more]);
  const encipher = createCipheriv('aes-128-gcm', key, nonce);
  encipher.setAAD(additionalData(record[0]!, plain.length));
  const sealed = [explicit, encipher.update(plain), encipher.final(), encipher.getAuthTag()];
  const payload = Buffer.concat(sealed);
  const header = Buffer.of(record[0]!, 3, 3, payload.length >> 8, payload.length & 255);
  return Buffer.concat([header, payload]);
}

/** Passes records on, each through `change`. */
function byRecords(from: Socket, to: Socket, change: (record: Buffer) => Buffer): void {
  let left = Buffer.alloc(0);
  from.on('data', (chunk: Buffer) => {
    left = Buffer.concat([left, chunk]);
    while (left.length >= 5 && left.length >= 5 + left.readUInt16BE(3)) {
      const length = 5 + left.readUInt16BE(3);
      to.write(change(left.subarray(0, length)));
      left = left.subarray(length);
    }
  });
  from.on('error', () => undefined);
  from.on('close', () => to.destroy());
}

interface Outcome {
  readonly secured: boolean;
  readonly error: Error | undefined;
}

/** A client of node:tls, behind whose Finished `more` is put. */
async function withMore(more: Buffer): Promise<Outcome> {
  const { listener, port } = await listen('ktls', limits);
  let secured = false;
  listener.on('secureConnection', (socket: tls.TLSSocket) => {
    secured = true;
    socket.on('error', () => undefined).end();
  });
  let error: Error | undefined;
  listener.on('tlsClientError', (each: Error) => (error = each));
  const randoms: { client?: Buffer; server?: Buffer; master?: Buffer } = {};
  const between = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let finishing = false;
    byRecords(near, far, (record) => {
      if (!finishing || record[0] !== 22) {
        finishing ||= record[0] === 20;
        return record;
      }
      const suite = cipherSuiteByName(cipher, ProtocolVersion.TLS12)!;
      const keys = keyBlock(suite, randoms.master!, randoms.client!, randoms.server!);
      return extend(keys.client, record, more);
    });
    byRecords(far, near, (record) => {
      // The ServerHello's random: behind the header of the record, that of the message, and the version.
      if (record[0] === 22 && record[5] === 2)
        randoms.server = Buffer.from(record.subarray(11, 43));
      return record;
    });
  });
  between.listen(0, '127.0.0.1');
  await once(between, 'listening');
  const client = tls.connect({
    port: (between.address() as AddressInfo).port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...limits,
  });
  client.on('error', () => undefined).resume();
  client.on('keylog', (line: Buffer) => {
    const [, random, master] = line.toString().trim().split(' ');
    randoms.client = Buffer.from(random!, 'hex');
    randoms.master = Buffer.from(master!, 'hex');
  });
  await new Promise((resolve) => client.on('close', resolve));
  for (const server of [between, listener]) {
    server.close();
    await once(server, 'close');
  }
  return { secured, error };
}

describeKernel('a record with the Finished of TLS 1.2', () => {
  it('secures the connection by itself', async () => {
    expect(await withMore(Buffer.alloc(0))).toEqual({ secured: true, error: undefined });
  });

  it.each([
    ['a message of its own', Buffer.of(15, 0, 0, 0)],
    ['a part of a ClientHello', Buffer.of(1, 0, 1, 0, 3, 3)],
    ['a HelloRequest', Buffer.of(0, 0, 0, 0)],
  ])('ends it with %s in it', async (_, more) => {
    const { secured, error } = await withMore(more);
    expect(secured).toBe(false);
    expect(error).toMatchObject({ code: 'ERR_KTLS_UNEXPECTED_RECORD' });
  });
});

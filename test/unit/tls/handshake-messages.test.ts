import { describe, expect, it } from 'vitest';

import { ServerHelloScanner } from '../../../lib/tls/handshake-messages.js';
import { rfc8448 } from '../../vectors/rfc8448.js';
import { Random } from './random.js';

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

const message = (type: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, body.length >> 16, body.length >> 8, body.length]), body]);

const random12 = Buffer.alloc(32, 0x5a);
/** A TLS 1.2 ServerHello with a 32-byte session id; `extensions` without their length. */
const serverHello12 = (extensions: Buffer | null): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(extensions?.length ?? 0);
  const fixed = [hex('0303'), random12, hex('20'), Buffer.alloc(32, 1), hex('c02f 00')];
  return message(2, Buffer.concat(extensions === null ? fixed : [...fixed, length, extensions]));
};

const helloRetryRequest = message(
  2,
  hex(
    '0303 cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c 00 1301 00' +
      '000c 002b 0002 0304 0033 0002 0018',
  ),
);
const tls13 = {
  serverRandom: rfc8448.serverRandom,
  cipherSuiteId: 0x1301,
  isHelloRetryRequest: false,
  version: 0x0304,
  maxFragmentLength: false,
};
const tls12 = {
  serverRandom: random12,
  cipherSuiteId: 0xc02f,
  isHelloRetryRequest: false,
  version: 0x0303,
  maxFragmentLength: false,
};

function scan(...pieces: Buffer[]): ServerHelloScanner {
  const scanner = new ServerHelloScanner();
  for (const piece of pieces) scanner.push(piece);
  return scanner;
}

describe('ServerHelloScanner', () => {
  it("reads RFC 8448's ServerHello", () => {
    const scanner = scan(rfc8448.serverHello);
    expect(scanner.serverHello).toEqual(tls13);
    expect(scanner).toMatchObject({ done: true, malformed: false });
  });

  it.each([
    ['without extensions', serverHello12(null)],
    ['with no extension in the list', serverHello12(Buffer.alloc(0))],
    ['with renegotiation_info', serverHello12(hex('ff01 0001 00'))],
  ])('reads a TLS 1.2 ServerHello %s', (_, hello) => {
    expect(scan(hello).serverHello).toEqual(tls12);
  });

  it('sees max_fragment_length in it', () => {
    const hello = serverHello12(hex('ff01 0001 00 0001 0001 03'));
    expect(scan(hello).serverHello).toEqual({ ...tls12, maxFragmentLength: true });
  });

  it('reads it in front of other messages of the same record', () => {
    const certificate = message(11, Buffer.alloc(5000, 0xff));
    expect(scan(Buffer.concat([serverHello12(null), certificate])).serverHello).toEqual(tls12);
  });

  it('reads it behind messages it does not want, however long', () => {
    const long = message(1, Buffer.alloc(200_000, 0xff));
    expect(scan(long, hex('00000000'), serverHello12(null)).serverHello).toEqual(tls12);
  });

  it('goes on past a HelloRetryRequest', () => {
    const scanner = scan(helloRetryRequest);
    expect(scanner.serverHello).toMatchObject({ isHelloRetryRequest: true, version: 0x0304 });
    expect(scanner.done).toBe(false);
    scanner.push(rfc8448.serverHello);
    expect(scanner).toMatchObject({ done: true, serverHello: tls13 });
  });

  it('takes both out of one piece', () => {
    const both = Buffer.concat([helloRetryRequest, rfc8448.serverHello]);
    expect(scan(both).serverHello).toEqual(tls13);
  });

  it('reads it in any pieces', () => {
    const random = new Random(3);
    const bytes = Buffer.concat([rfc8448.clientHello, helloRetryRequest, rfc8448.serverHello]);
    for (let round = 0; round < 200; round++) {
      expect(scan(...random.pieces(bytes, 12)).serverHello).toEqual(tls13);
    }
  });

  it('ignores what comes after it: that is encrypted', () => {
    for (const later of [serverHello12(null), hex('02ffffff'), Buffer.alloc(100, 0xff)]) {
      const scanner = scan(rfc8448.serverHello, later);
      expect(scanner).toMatchObject({ serverHello: tls13, malformed: false });
    }
  });

  it('gives a random of its own', () => {
    const bytes = Buffer.from(rfc8448.serverHello);
    const scanner = scan(bytes);
    bytes.fill(0);
    expect(scanner.serverHello?.serverRandom).toEqual(rfc8448.serverRandom);
  });

  it.each([
    ['nothing in it', message(2, Buffer.alloc(0))],
    ['no cipher suite', message(2, Buffer.alloc(36))],
    ['a session id of 33 bytes', message(2, Buffer.alloc(200, 33))],
    ['a wrong length of its extensions', withWrongListLength()],
    ['an extension longer than the list', serverHello12(hex('002b 0009 0304'))],
    ['half an extension header', serverHello12(hex('002b 00'))],
    ['supported_versions of three bytes', serverHello12(hex('002b 0003 030400'))],
    ['more than 64 KiB', hex('02 010001')],
  ])('flags a ServerHello with %s', (_, bytes) => {
    const scanner = scan(bytes);
    expect(scanner).toMatchObject({ malformed: true, done: false, serverHello: null });
    scanner.push(rfc8448.serverHello);
    expect(scanner.serverHello).toBeNull();
  });

  it('survives garbage and damage in any pieces', () => {
    const random = new Random(4);
    for (let round = 0; round < 1000; round++) {
      const bytes = round % 2 === 0 ? random.bytes(300) : Buffer.from(rfc8448.serverHello);
      bytes[random.below(bytes.length)] = random.below(256);
      const { malformed, serverHello } = scan(...random.pieces(bytes, 50));
      expect(malformed && serverHello !== null).toBe(false);
    }
  });
});

function withWrongListLength(): Buffer {
  const bytes = serverHello12(hex('ff01 0001 00'));
  bytes.writeUInt16BE(4, bytes.length - 7);
  return bytes;
}

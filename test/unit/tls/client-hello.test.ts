import { describe, expect, it } from 'vitest';

import { ClientHelloScanner } from '../../../lib/tls/handshake-messages.js';
import { rfc8448 } from '../../vectors/rfc8448.js';
import { Random } from './random.js';

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

const message = (type: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, body.length >> 16, body.length >> 8, body.length]), body]);

/** Up to the compression methods: two suites, a session id of three bytes. */
const fixed = Buffer.concat([hex('0303'), Buffer.alloc(32, 0x5a), hex('03 010101 0004 1301c02f')]);
const compression = hex('01 00');

/** `extensions` without their length; `null` leaves the whole list out. */
const clientHello = (extensions: Buffer | null): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(extensions?.length ?? 0);
  return message(
    1,
    Buffer.concat([fixed, compression, ...(extensions ? [length, extensions] : [])]),
  );
};

const serverName = hex('0000 000e 000c 00 0009 6c6f63616c686f7374');
const limit = hex('0001 0001 02');
const offering = clientHello(Buffer.concat([serverName, limit]));
const silent = clientHello(serverName);

function offers(...pieces: Buffer[]): boolean {
  const scanner = new ClientHelloScanner();
  for (const piece of pieces) scanner.push(piece);
  return scanner.fragmentLimit !== null;
}

describe('ClientHelloScanner', () => {
  it.each([
    ['alone', clientHello(limit)],
    ['behind another', offering],
    ['in front of another', clientHello(Buffer.concat([limit, serverName]))],
    ['whatever length it asks for', clientHello(hex('0001 0001 7f'))],
  ])('sees an offer of max_fragment_length %s', (_, hello) => {
    expect(offers(hello)).toBe(true);
  });

  it.each([
    ['without extensions', clientHello(null)],
    ['with no extension in the list', clientHello(Buffer.alloc(0))],
    ['with other extensions', silent],
    ["that is RFC 8448's", rfc8448.clientHello],
    ['whose server name looks like one', clientHello(hex('0000 0005 0001000102'))],
    [
      'whose session id looks like one',
      message(
        1,
        Buffer.concat([hex('0303'), Buffer.alloc(32), hex('05 0001000102 0002 1301 01 00 0000')]),
      ),
    ],
  ])('sees none in a ClientHello %s', (_, hello) => {
    expect(offers(hello)).toBe(false);
  });

  it.each([
    ['01', 512],
    ['02', 1024],
    ['03', 2048],
    ['04', 4096],
    // No handshake comes of these.
    ['00', 512],
    ['05', 512],
  ])('knows what %s stands for: %i bytes', (code, bytes) => {
    const scanner = new ClientHelloScanner();
    scanner.push(clientHello(hex(`0001 0001 ${code}`)));
    expect(scanner.fragmentLimit).toBe(bytes);
    // The least of several.
    scanner.push(clientHello(hex('0001 0001 02')));
    expect(scanner.fragmentLimit).toBe(Math.min(bytes, 1024));
  });

  it('sees none before the message is whole', () => {
    const scanner = new ClientHelloScanner();
    scanner.push(offering.subarray(0, -1));
    expect(scanner.fragmentLimit).toBe(null);
    scanner.push(offering.subarray(-1));
    expect(scanner.fragmentLimit).toBe(1024);
  });

  it('sees it in any pieces', () => {
    const random = new Random(5);
    for (let round = 0; round < 200; round++) {
      expect(offers(...random.pieces(offering, 12))).toBe(true);
      expect(offers(...random.pieces(silent, 12))).toBe(false);
    }
  });

  it('sees it in either of the ClientHellos around a HelloRetryRequest', () => {
    expect(offers(silent, offering)).toBe(true);
    expect(offers(offering, silent)).toBe(true);
    expect(offers(silent, silent)).toBe(false);
    expect(offers(Buffer.concat([silent, offering]))).toBe(true);
  });

  it('is not misled by other messages', () => {
    expect(offers(offering, message(11, Buffer.alloc(200_000, 1)))).toBe(true);
    expect(offers(message(11, Buffer.alloc(200_000, 1)), offering)).toBe(true);
    expect(offers(message(2, offering.subarray(4)))).toBe(false);
  });

  it.each([
    ['nothing in it', message(1, Buffer.alloc(0))],
    ['no session id', message(1, fixed.subarray(0, 34))],
    ['half a length of its cipher suites', message(1, fixed.subarray(0, 39))],
    ['cipher suites cut short', message(1, fixed.subarray(0, -1))],
    ['no compression methods', message(1, fixed)],
    ['half a length of its extensions', message(1, Buffer.concat([fixed, compression, hex('00')]))],
    ['an extension longer than the list', clientHello(hex('0001 0001 02 0000 0009 00'))],
    ['half an extension header', clientHello(hex('0001 0001 02 0000 00'))],
    ['bytes behind the list', message(1, Buffer.concat([offering.subarray(4), hex('00')]))],
    ['more than 128 KiB', hex('01 020145')],
  ])('survives a ClientHello with %s', (_, hello) => {
    expect(offers(hello)).toBe(false);
  });

  it('survives garbage and damage in any pieces', () => {
    const random = new Random(6);
    for (let round = 0; round < 1000; round++) {
      const bytes = round % 2 === 0 ? random.bytes(300) : Buffer.from(offering);
      bytes[0] = 1;
      bytes[random.below(bytes.length)] = random.below(256);
      expect(offers(...random.pieces(bytes, 50))).toBeTypeOf('boolean');
    }
  });
});

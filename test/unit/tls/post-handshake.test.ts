import { describe, expect, it } from 'vitest';

import { PostHandshakeParser, type PostHandshakeMessage } from '../../../lib/tls/post-handshake.js';
import { rfc8448 } from '../../vectors/rfc8448.js';
import { Random } from './random.js';

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const push = (...payloads: Buffer[]): PostHandshakeMessage[] => {
  const parser = new PostHandshakeParser();
  return payloads.flatMap((payload) => parser.push(payload));
};

const ticket = rfc8448.newSessionTicket;
const ticketMessage = { kind: 'new-session-ticket', raw: ticket };
const helloRequest = hex('00000000');
const updateRequested = hex('18000001 01');
const updateNotRequested = hex('18000001 00');

describe('PostHandshakeParser', () => {
  it('yields a ticket as it came', () => {
    expect(push(ticket)).toEqual([ticketMessage]);
  });

  it('yields a ticket in memory of its own', () => {
    const payload = Buffer.from(ticket);
    const [message] = push(payload);
    payload.fill(0);
    expect(message).toEqual(ticketMessage);
    const { raw } = message as { raw: Buffer };
    expect(raw.buffer.byteLength).toBe(raw.length);
  });

  it('yields two tickets of one record', () => {
    expect(push(Buffer.concat([ticket, ticket]))).toEqual([ticketMessage, ticketMessage]);
  });

  it('does not let a later message touch an earlier one', () => {
    expect(push(Buffer.concat([ticket, rfc8448.clientHello]))).toEqual([
      ticketMessage,
      { kind: 'client-hello' },
    ]);
  });

  it('yields a ticket wherever it is cut in two', () => {
    for (let cut = 1; cut < ticket.length; cut++) {
      const parser = new PostHandshakeParser();
      expect(parser.push(ticket.subarray(0, cut))).toEqual([]);
      expect(parser.pending).toBe(true);
      expect(parser.push(ticket.subarray(cut))).toEqual([ticketMessage]);
      expect(parser.pending).toBe(false);
    }
  });

  it.each([
    ['asks for ours', updateRequested, true],
    ['asks for none', updateNotRequested, false],
  ])('yields a KeyUpdate that %s', (_, payload, requested) => {
    expect(push(payload)).toEqual([{ kind: 'key-update', updateRequested: requested }]);
  });

  it('yields a KeyUpdate that ends a record begun by a ticket, or that is split', () => {
    const update = { kind: 'key-update', updateRequested: true };
    expect(push(Buffer.concat([ticket, updateRequested]))).toEqual([ticketMessage, update]);
    expect(push(updateRequested.subarray(0, 3), updateRequested.subarray(3))).toEqual([update]);
  });

  it('yields attempts to renegotiate, whatever the length of the ClientHello', () => {
    const clientHello = Buffer.concat([hex('01 020000'), Buffer.alloc(0x20000)]);
    expect(push(helloRequest, clientHello, rfc8448.clientHello, helloRequest)).toEqual([
      { kind: 'hello-request' },
      { kind: 'client-hello' },
      { kind: 'client-hello' },
      { kind: 'hello-request' },
    ]);
  });

  it.each([
    ['CertificateRequest', 13],
    ['Finished', 20],
    ['ServerHello', 2],
    ['a type that is none', 99],
  ])('yields %s as unexpected, and nothing after it', (_, type) => {
    const parser = new PostHandshakeParser();
    const payload = Buffer.concat([Buffer.from([type, 0, 0, 1, 0]), ticket]);
    expect(parser.push(payload)).toEqual([{ kind: 'unexpected', type }]);
    expect(parser.stopped).toBe(true);
    expect(parser.push(ticket)).toEqual([]);
  });

  it.each([
    ['a KeyUpdate with another value', 47, hex('18000001 02')],
    ['an empty KeyUpdate', 50, hex('18000000')],
    ['a KeyUpdate of two bytes', 50, hex('18000002 0000')],
    ['a message after a KeyUpdate', 10, Buffer.concat([updateRequested, ticket])],
    ['a second KeyUpdate in the record', 10, Buffer.concat([updateRequested, updateRequested])],
    ['one byte after a KeyUpdate', 10, Buffer.concat([updateRequested, hex('04')])],
    ['a message too long after a KeyUpdate', 10, Buffer.concat([updateRequested, hex('04ffffff')])],
    ['a HelloRequest with a body', 50, hex('00000001 00')],
    ['an empty record', 10, Buffer.alloc(0)],
    ['a ticket longer than any', 47, hex('04 02010b 00')],
  ])('names the alert that %s earns, and yields nothing after it', (_, alert, payload) => {
    const parser = new PostHandshakeParser();
    expect(parser.push(payload)).toEqual([
      { kind: 'invalid', alert, detail: expect.any(String) as string },
    ]);
    expect(parser.stopped).toBe(true);
    expect(parser.push(ticket)).toEqual([]);
  });

  it('yields what came in front of an invalid message', () => {
    expect(push(Buffer.concat([ticket, hex('18000000')]))).toMatchObject([
      ticketMessage,
      { kind: 'invalid' },
    ]);
  });

  it('takes the longest ticket there is', () => {
    const longest = Buffer.concat([hex('04 02010a'), Buffer.alloc(131_338, 7)]);
    const random = new Random(6);
    expect(push(...random.pieces(longest, 16_384).filter((piece) => piece.length > 0))).toEqual([
      { kind: 'new-session-ticket', raw: longest },
    ]);
  });

  it('says the same of messages in any pieces', () => {
    const random = new Random(7);
    const kinds = [ticket, helloRequest, rfc8448.clientHello];
    for (let round = 0; round < 200; round++) {
      const messages = Array.from({ length: 1 + random.below(5) }, () => kinds[random.below(3)]!);
      const whole = Buffer.concat(messages);
      const pieces = random.pieces(whole, 60).filter((piece) => piece.length > 0);
      expect(push(...pieces)).toEqual(push(whole));
    }
  });

  it('survives garbage and damage in any pieces', () => {
    const random = new Random(8);
    const whole = Buffer.concat([ticket, helloRequest, ticket, updateRequested]);
    for (let round = 0; round < 1000; round++) {
      const bytes = round % 2 === 0 ? random.bytes(300) : Buffer.from(whole);
      bytes[random.below(bytes.length)] = random.below(256);
      const messages = push(...random.pieces(bytes, 50));
      const last = messages.findIndex(({ kind }) => kind === 'invalid' || kind === 'unexpected');
      expect([-1, messages.length - 1]).toContain(last);
    }
  });

  it('does not give memory for what a peer only announces', () => {
    const announce = Buffer.concat([hex('04 02010a'), Buffer.alloc(300)]);
    const before = process.memoryUsage().arrayBuffers;
    const parsers = Array.from({ length: 1000 }, () => new PostHandshakeParser());
    for (const parser of parsers) expect(parser.push(announce)).toEqual([]);
    const held = process.memoryUsage().arrayBuffers - before;
    expect(parsers.every((parser) => parser.pending)).toBe(true);
    expect(held / parsers.length).toBeLessThan(4096);
  });
});

/**
 * Every parser of `lib/tls` over inputs that nobody thought of: the pieces in which bytes come make no
 * difference, nothing throws, and nothing is held that did not come. fast-check shrinks what fails and says
 * the seed.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ControlRecords, type Verdict } from '../../../lib/socket/control-records.js';
import { ContentType, ProtocolVersion } from '../../../lib/tls/constants.js';
import { HandshakeAssembler } from '../../../lib/tls/handshake-assembler.js';
import { ClientHelloScanner, ServerHelloScanner } from '../../../lib/tls/handshake-messages.js';
import { KeylogSecrets } from '../../../lib/tls/keylog.js';
import { PostHandshakeParser } from '../../../lib/tls/post-handshake.js';
import { RecordScanner, buildRecordHeader } from '../../../lib/tls/record.js';

const runs = { numRuns: 300 };

const anyBytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

/** Where to cut: lengths of pieces, used one after the other and then again. */
const cuts = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 });

function pieces(data: Buffer, lengths: readonly number[]): Buffer[] {
  const found: Buffer[] = [];
  const usable = lengths.some((length) => length > 0) ? lengths : [1];
  for (let at = 0, i = 0; at < data.length; i++) {
    const length = usable[i % usable.length]!;
    found.push(data.subarray(at, at + length));
    at += length;
  }
  return found;
}

const record = fc.record({ type: fc.integer({ min: 20, max: 24 }), payload: anyBytes(300) });

describe('records', () => {
  it('are found whole and in order, in whatever pieces they come', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), cuts, (records, lengths) => {
        const stream = Buffer.concat(
          records.flatMap(({ type, payload }) => [
            buildRecordHeader(type, payload.length),
            payload,
          ]),
        );
        const payloads: Buffer[] = [];
        const scanner = new RecordScanner((_, fragment) => payloads.push(Buffer.from(fragment)));
        const found = pieces(stream, lengths).flatMap((piece) => scanner.push(piece));
        expect(found).toEqual(
          records.map(({ type, payload }) => ({
            contentType: type,
            length: payload.length,
            prefix: payload.subarray(0, 8),
          })),
        );
        expect(Buffer.concat(payloads)).toEqual(Buffer.concat(records.map((each) => each.payload)));
        expect(scanner.atBoundary).toBe(true);
      }),
      runs,
    );
  });

  it('that are none are no trouble, and the pieces make no difference', () => {
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 3 }),
        anyBytes(200),
        cuts,
        (records, junk, lengths) => {
          const good = records.flatMap(({ type, payload }) => [
            buildRecordHeader(type, payload.length),
            payload,
          ]);
          const stream = Buffer.concat([...good, junk]);
          const whole = new RecordScanner();
          const cut = new RecordScanner();
          const expected = whole.push(stream);
          expect(pieces(stream, lengths).flatMap((piece) => cut.push(piece))).toEqual(expected);
          expect([cut.malformed, cut.atBoundary]).toEqual([whole.malformed, whole.atBoundary]);
          expect(expected.length).toBeGreaterThanOrEqual(records.length);
        },
      ),
      runs,
    );
  });
});

/** Types that parsers know, and others. */
const messageType = fc.oneof(fc.constantFrom(0, 1, 2, 4, 20, 24), fc.integer({ min: 0, max: 255 }));
const message = fc
  .tuple(messageType, anyBytes(120), fc.integer({ min: -3, max: 3 }))
  .map(([type, body, lie]) => {
    const length = Math.max(0, body.length + (lie === 0 ? 0 : lie));
    return Buffer.from([type, length >> 16, (length >> 8) & 0xff, length & 0xff, ...body]);
  });
const messages = fc.array(message, { maxLength: 6 }).map((all) => Buffer.concat(all));

describe('handshake messages', () => {
  it('are put together alike from any pieces', () => {
    fc.assert(
      fc.property(messages, cuts, (stream, lengths) => {
        const options = { maxLength: 100, wants: (type: number) => type % 2 === 0 };
        const whole = new HandshakeAssembler(options);
        const cut = new HandshakeAssembler(options);
        const expected = whole.push(stream);
        expect(pieces(stream, lengths).flatMap((piece) => cut.push(piece))).toEqual(expected);
        expect([cut.pending, cut.oversized]).toEqual([whole.pending, whole.oversized]);
        const held = expected.reduce((sum, { raw }) => sum + (raw?.length ?? 0), 0);
        expect(held).toBeLessThanOrEqual(stream.length);
      }),
      runs,
    );
  });

  it('of any content are read by the scanners of both Hellos alike from any pieces', () => {
    fc.assert(
      fc.property(messages, cuts, (stream, lengths) => {
        const servers = [new ServerHelloScanner(), new ServerHelloScanner()] as const;
        const clients = [new ClientHelloScanner(), new ClientHelloScanner()] as const;
        servers[0].push(stream);
        clients[0].push(stream);
        for (const piece of pieces(stream, lengths)) {
          servers[1].push(piece);
          clients[1].push(piece);
        }
        expect(servers[1].serverHello).toEqual(servers[0].serverHello);
        expect(servers[1].malformed).toBe(servers[0].malformed);
        expect(clients[1].fragmentLimit).toBe(clients[0].fragmentLimit);
      }),
      runs,
    );
  });

  it('after the handshake stop at the first that is wrong, for good', () => {
    fc.assert(
      fc.property(fc.array(messages, { maxLength: 5 }), (payloads) => {
        const parser = new PostHandshakeParser();
        let over = false;
        for (const payload of payloads) {
          const found = parser.push(payload);
          if (over) expect(found).toEqual([]);
          for (const [index, { kind }] of found.entries()) {
            const last = kind === 'invalid' || kind === 'unexpected';
            if (last) expect(index).toBe(found.length - 1);
            over ||= last;
          }
          expect(parser.stopped).toBe(over);
        }
      }),
      runs,
    );
  });
});

const hex = (length: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: length, maxLength: length })
    .map((bytes) => Buffer.from(bytes).toString('hex'));

describe('key log lines', () => {
  const labels = fc.constantFrom(
    'CLIENT_TRAFFIC_SECRET_0',
    'SERVER_TRAFFIC_SECRET_0',
    'EXPORTER_SECRET',
  );

  it('give back what they say, in either case of the digits', () => {
    fc.assert(
      fc.property(
        labels,
        hex(32),
        fc.constantFrom(32, 48).chain(hex),
        fc.boolean(),
        fc.constantFrom('', '\n', '\r\n'),
        (label, random, secret, upper, end) => {
          const digits = upper ? secret.toUpperCase() : secret;
          const secrets = new KeylogSecrets();
          expect(secrets.add(Buffer.from(`${label} ${random} ${digits}${end}`))).toBe(label);
          expect(secrets.clientRandom!.toString('hex')).toBe(random);
          const kept = [
            secrets.clientTrafficSecret,
            secrets.serverTrafficSecret,
            secrets.exporterSecret,
          ];
          const [only, ...others] = kept.filter((each) => each !== null);
          expect(others).toEqual([]);
          expect(only!.toString('hex')).toBe(secret);
          secrets.wipe();
          expect(only!.every((byte) => byte === 0)).toBe(true);
        },
      ),
      runs,
    );
  });

  it('with any byte changed never throw, and never give a secret of a wrong length', () => {
    fc.assert(
      fc.property(
        labels,
        hex(32),
        hex(48),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
        fc.nat(),
        (label, random, secret, changes, cut) => {
          const line = Buffer.from(`${label} ${random} ${secret}`);
          for (const [at, byte] of changes) line[at % line.length] = byte;
          const secrets = new KeylogSecrets();
          const found = secrets.add(line.subarray(0, line.length - (cut % 5)));
          const kept = [
            secrets.clientTrafficSecret,
            secrets.serverTrafficSecret,
            secrets.exporterSecret,
          ]
            .filter((each) => each !== null)
            .map((each) => each.length);
          expect(kept).toEqual(found === null ? [] : [48]);
        },
      ),
      runs,
    );
  });

  it('that are any bytes at all are nothing', () => {
    fc.assert(
      fc.property(anyBytes(300), (line) => {
        expect(new KeylogSecrets().add(line)).toBeNull();
      }),
      runs,
    );
  });
});

describe('control records', () => {
  const any = fc.record({
    type: fc.oneof(fc.constantFrom(ContentType.alert, ContentType.handshake), fc.nat({ max: 255 })),
    payload: fc.oneof(messages, anyBytes(4)),
    data: fc.boolean(),
  });
  const version = fc.constantFrom(ProtocolVersion.TLS12, ProtocolVersion.TLS13);

  it('of any kind, between data or not, are judged and never thrown at', () => {
    fc.assert(
      fc.property(fc.boolean(), version, fc.array(any, { maxLength: 80 }), (isServer, tls, all) => {
        const control = new ControlRecords(isServer, tls);
        for (const { type, payload, data } of all) {
          const verdicts: Verdict[] = data ? [control.dataArrived()] : control.judge(type, payload);
          for (const verdict of verdicts) {
            if (verdict.kind === 'ticket')
              expect([isServer, tls]).toEqual([false, ProtocolVersion.TLS13]);
            if (verdict.kind === 'keyUpdate') expect(tls).toBe(ProtocolVersion.TLS13);
            if (verdict.kind !== 'fail') continue;
            expect((verdict.error as NodeJS.ErrnoException).code).toMatch(
              /^ERR_(KTLS|SSL)_[A-Z\d_]+$/,
            );
            return;
          }
        }
      }),
      runs,
    );
  });

  it('without data in between are not taken for ever', () => {
    fc.assert(
      fc.property(fc.boolean(), version, fc.infiniteStream(any), (isServer, tls, endless) => {
        const control = new ControlRecords(isServer, tls);
        let taken = 0;
        for (const { type, payload } of endless) {
          if (control.judge(type, payload).some(({ kind }) => kind === 'fail')) break;
          expect(++taken).toBeLessThanOrEqual(64);
        }
      }),
      runs,
    );
  });
});

import { describe, expect, it } from 'vitest';
import { ControlRecords, type Verdict } from '../../../lib/socket/control-records.js';
import { AlertDescription as Alert } from '../../../lib/tls/alerts.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';

const { TLS12, TLS13 } = ProtocolVersion;
const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const HANDSHAKE = 22;

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const ticket = bytes('04 00000f 00001c20 00000000 01 00 0001 ff 0000');

/** The verdict in one word, and what goes with it. */
function summary(verdict: Verdict): unknown[] {
  switch (verdict.kind) {
    case 'fail':
      return ['fail', (verdict.error as NodeJS.ErrnoException).code, verdict.alert];
    case 'warn':
      return ['warn', verdict.alert];
    case 'keyUpdate':
      return ['keyUpdate', verdict.updateRequested];
    default:
      return [verdict.kind];
  }
}

const unexpected = ['fail', 'ERR_KTLS_UNEXPECTED_RECORD', Alert.unexpectedMessage];
const malformed = ['fail', 'ERR_KTLS_UNEXPECTED_RECORD', Alert.decodeError];

type Row = [name: string, role: 'server' | 'client', version: number, type: number, hex: string];
const table: [...Row, verdict: unknown[]][] = [
  ['close_notify', 'server', TLS13, ALERT, '01 00', ['closeNotify']],
  ['close_notify', 'client', TLS12, ALERT, '01 00', ['closeNotify']],
  ['a fatal close_notify', 'client', TLS12, ALERT, '02 00', ['closeNotify']],
  ['a fatal alert', 'client', TLS13, ALERT, '02 14', ['fail', expect.stringMatching(/MAC/), null]],
  ['a fatal alert', 'server', TLS12, ALERT, '02 14', ['fail', expect.stringMatching(/MAC/), null]],
  ['a warning', 'server', TLS12, ALERT, '01 5a', ['continue']],
  ['user_canceled', 'server', TLS13, ALERT, '01 5a', ['continue']],
  ['a warning', 'server', TLS13, ALERT, '01 14', ['fail', expect.stringMatching(/MAC/), null]],
  ['an alert cut short', 'server', TLS13, ALERT, '01', malformed],
  ['two alerts in one record', 'client', TLS12, ALERT, '01 00 01 00', malformed],
  ['an empty alert', 'client', TLS13, ALERT, '', malformed],
  ['a ticket', 'client', TLS13, HANDSHAKE, ticket.toString('hex'), ['ticket']],
  ['two tickets', 'client', TLS13, HANDSHAKE, ticket.toString('hex').repeat(2), ['ticket']],
  ['a ticket', 'server', TLS13, HANDSHAKE, ticket.toString('hex'), unexpected],
  ['a ticket', 'client', TLS12, HANDSHAKE, ticket.toString('hex'), unexpected],
  ['HelloRequest', 'client', TLS12, HANDSHAKE, '00 000000', ['warn', Alert.noRenegotiation]],
  ['HelloRequest', 'client', TLS13, HANDSHAKE, '00 000000', unexpected],
  ['HelloRequest', 'server', TLS12, HANDSHAKE, '00 000000', unexpected],
  ['ClientHello', 'server', TLS12, HANDSHAKE, '01 000002 0303', ['warn', Alert.noRenegotiation]],
  ['ClientHello', 'server', TLS13, HANDSHAKE, '01 000002 0303', unexpected],
  ['ClientHello', 'client', TLS12, HANDSHAKE, '01 000002 0303', unexpected],
  ['a Finished', 'server', TLS13, HANDSHAKE, '14 000001 00', unexpected],
  ['KeyUpdate', 'client', TLS13, HANDSHAKE, '18 000001 01', ['keyUpdate', true]],
  ['KeyUpdate', 'server', TLS13, HANDSHAKE, '18 000001 00', ['keyUpdate', false]],
  ['KeyUpdate', 'client', TLS12, HANDSHAKE, '18 000001 00', unexpected],
  ['a handshake record with nothing in it', 'client', TLS13, HANDSHAKE, '', unexpected],
  ['ChangeCipherSpec', 'server', TLS13, CHANGE_CIPHER_SPEC, '01', unexpected],
  ['heartbeat', 'client', TLS12, 24, '01', unexpected],
  ['a type that nobody knows', 'server', TLS13, 99, '', unexpected],
];

describe('ControlRecords', () => {
  for (const [name, role, version, type, hex, verdict] of table) {
    const protocol = version === TLS13 ? 'TLS 1.3' : 'TLS 1.2';
    it(`${name}, at a ${protocol} ${role}: ${String(verdict[0])}`, () => {
      const records = new ControlRecords(role === 'server', version);
      expect(summary(records.judge(type, bytes(hex)).at(-1)!)).toEqual(verdict);
    });
  }

  it('joins a message that comes in two records', () => {
    const records = new ControlRecords(false, TLS13);
    expect(records.judge(HANDSHAKE, ticket.subarray(0, 5))).toEqual([]);
    expect(records.judge(HANDSHAKE, ticket.subarray(5))).toEqual([
      { kind: 'ticket', message: ticket },
    ]);
    expect(records.dataArrived().kind).toBe('continue');
  });

  it('tells of what only looks like a KeyUpdate, by its first byte', () => {
    const records = new ControlRecords(false, TLS13);
    const update = bytes('18 000001 00');
    const long = bytes(`04 00000f 00001c20 00000000 01 18 0001 ff 0000`);
    const judge = (payload: Buffer): unknown[] => records.judge(HANDSHAKE, payload).map(summary);
    expect(judge(long.subarray(0, 13))).toEqual([]);
    expect(judge(long.subarray(13))).toEqual([['ticket'], ['sameKey']]);
    expect(judge(update.subarray(0, 2))).toEqual([['sameKey']]);
    expect(judge(update.subarray(2))).toEqual([['keyUpdate', false]]);
    expect(judge(update)).toEqual([['keyUpdate', false]]);
  });

  it('does not let data into the middle of a message', () => {
    const records = new ControlRecords(false, TLS13);
    records.judge(HANDSHAKE, ticket.subarray(0, 5));
    expect(summary(records.dataArrived())).toEqual(unexpected);
  });

  it('ends a flood of records without data', () => {
    const records = new ControlRecords(false, TLS13);
    const verdicts = Array.from({ length: 1000 }, () => records.judge(HANDSHAKE, ticket)[0]!);
    expect(verdicts[31]!.kind).toBe('ticket');
    expect(summary(verdicts.at(-1)!)).toEqual([
      'fail',
      'ERR_KTLS_RECORD_FLOOD',
      Alert.unexpectedMessage,
    ]);
  });

  it('counts anew after data', () => {
    const records = new ControlRecords(false, TLS13);
    for (let i = 0; i < 1000; i++) {
      expect(records.judge(HANDSHAKE, ticket)[0]!.kind).toBe('ticket');
      expect(records.dataArrived().kind).toBe('continue');
    }
  });
});

describe('messages in one record', () => {
  const hello = bytes('01 000000');
  const declined = ['warn', Alert.noRenegotiation];
  const flood = ['fail', 'ERR_KTLS_RECORD_FLOOD', Alert.unexpectedMessage];
  const many = (message: Buffer): Buffer =>
    Buffer.concat(Array.from({ length: 4096 }, () => message));

  it('are each a request to renegotiate, of which a server declines a few', () => {
    const records = new ControlRecords(true, TLS12);
    const verdicts = records.judge(HANDSHAKE, many(hello)).map(summary);
    expect(verdicts).toEqual([declined, declined, declined, flood]);
  });

  it('or one in each, with data among them', () => {
    const records = new ControlRecords(true, TLS12);
    const verdicts = Array.from({ length: 4 }, () => {
      records.dataArrived();
      return records.judge(HANDSHAKE, hello).map(summary);
    });
    expect(verdicts).toEqual([[declined], [declined], [declined], [flood]]);
  });

  it('are counted as so many tickets', () => {
    const verdicts = new ControlRecords(false, TLS13).judge(
      HANDSHAKE,
      many(ticket).subarray(0, 16_384),
    );
    expect(verdicts.slice(0, -1).every(({ kind }) => kind === 'ticket')).toBe(true);
    expect(verdicts).toHaveLength(65);
    expect(summary(verdicts.at(-1)!)).toEqual(flood);
  });
});

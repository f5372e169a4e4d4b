import { describe, expect, it } from 'vitest';
import { type Frame, render } from '../../../lib/counters/screen.js';
import type { TlsSocket } from '../../../lib/kernel/tls-sockets.js';

const socket = (change: Partial<TlsSocket> = {}): TlsSocket => ({
  local: '10.0.0.1:443',
  peer: '10.0.0.2:50000',
  state: 'ESTAB',
  version: 'TLSv1.3',
  cipher: 'aes-128-gcm',
  tx: 'software',
  rx: 'software',
  zeroCopy: false,
  noPad: false,
  maxPayload: null,
  uid: 0,
  inode: 1,
  receiveQueue: 0,
  sendQueue: 0,
  ...change,
});

const frame = (change: Partial<Frame> = {}): Frame => ({
  now: { counters: { TlsTxSw: 10, TlsRxSw: 7, TlsTxDevice: 0 }, interfaces: {}, sockets: [] },
  before: null,
  seconds: 1,
  width: 80,
  height: Infinity,
  hint: null,
  ...change,
});

const lines = (text: string): string[] => text.split('\n');

describe('the counters on a screen', () => {
  it('shows every counter, those at 0 too', () => {
    const text = render(frame());
    for (const part of [/TlsTxSw +10/, /TlsRxSw +7/, /TlsTxDevice +0/]) expect(text).toMatch(part);
  });

  it('shows rates from the second look on', () => {
    const before = { counters: { TlsTxSw: 4, TlsRxSw: 7 }, interfaces: {}, sockets: null };
    const text = render(frame({ before, seconds: 2 }));
    expect(text).toMatch(/TlsTxSw +10 +\+3\/s/);
    expect(text).toMatch(/TlsRxSw +7( {2}|\n|$)/);
  });

  it.each([
    [9999, '+9999/s'],
    [12_345, '+12k/s'],
    [2_133_690, '+2.1M/s'],
    [1_234_567_890, '+1235M/s'],
    [-3, '-3/s'],
  ])('keeps its columns, and names apart, at a rate of %s', (rate, shown) => {
    const interfaces = (packets: number): Frame['now']['interfaces'] => ({
      eth7: { tx_tls_encrypted_packets: packets, tx_tls_encrypted_bytes: 1, tx_tls_ooo: 0 },
    });
    const at = (packets: number) => ({
      counters: null,
      interfaces: interfaces(packets),
      sockets: null,
    });
    const text = render(frame({ now: at(2e9 + rate), before: at(2e9) }));
    expect(text).toContain(`tx_tls_enc…_packets ${2e9 + rate} ${shown.padStart(8)}  tx_tls_ooo`);
    expect(text).toMatch(/^tx_tls_enc…ed_bytes +1$/m);
  });

  describe.each([80, 60, 40])('%s columns wide', (width) => {
    const values = {
      tx_tls_encrypted_bytes: 123_456_789_012_345,
      tx_tls_encrypted_packets: 98_765_432_109_876,
      rx_tls_decrypted_bytes: 1_234_567_890_123,
      rx_tls_decrypted_packets: 987_654_321_098,
      tx_tls_ooo: 7,
    };
    const before = { ...values, tx_tls_encrypted_bytes: 123_456_776_667_345, tx_tls_ooo: 3 };
    const at = (counters: Record<string, number>, sendQueue = 0): Frame['now'] => ({
      counters,
      interfaces: { eth7: counters },
      sockets: [socket({ sendQueue })],
    });

    it.each([null, at(before)])('cuts no figure off: %#', (earlier) => {
      const text = render(frame({ now: at(values), before: earlier, width }));
      for (const value of Object.values(values)) {
        expect(text.match(new RegExp(`(?<!\\S)${value}(?!\\S)`, 'g'))).toHaveLength(2);
      }
      if (earlier !== null) expect(text).toMatch(/ \+12\.3M\/s\s/);
      for (const line of lines(text)) expect(line.length, line).toBeLessThanOrEqual(width);
    });

    it('shows all of a send queue or nothing', () => {
      const row = lines(render(frame({ now: at({}, 4_194_304), width }))).at(-2)!;
      expect(row.length).toBeLessThanOrEqual(width);
      if (width >= 80) expect(row).toMatch(/ 4194304$/);
      else expect(row).not.toContain('41');
    });
  });

  it('shows the cards', () => {
    const interfaces = { eth7: { tx_tls_encrypted_packets: 5 } };
    const { counters } = frame().now;
    expect(render(frame({ now: { counters, interfaces, sockets: null } }))).toMatch(
      /\neth7\ntx_tls_encrypted_packets +5\n/,
    );
  });

  it('has no line longer than the terminal, whatever the addresses', () => {
    const long = '[2001:db8:1111:2222:3333:4444:5555:6666]:65535';
    const sockets = [
      socket({
        local: long,
        peer: long,
        cipher: 'chacha20-poly1305',
        tx: 'device',
        zeroCopy: true,
      }),
    ];
    for (const width of [80, 100, 132]) {
      const now = { counters: frame().now.counters, interfaces: {}, sockets };
      for (const line of lines(render(frame({ now, width })))) {
        expect(line.length, line).toBeLessThanOrEqual(width);
      }
    }
  });

  it('shows who encrypts, and sets of each socket', () => {
    const sockets = [
      socket({ tx: 'device', rx: 'none', zeroCopy: true, version: 'TLSv1.2', sendQueue: 4321 }),
    ];
    const text = render(frame({ now: { counters: {}, interfaces: {}, sockets } }));
    expect(text).toContain('sockets: 1 (sending: 1 hw, 0 sw)');
    expect(text).toMatch(
      /10\.0\.0\.1:443 +10\.0\.0\.2:50000 +1\.2 aes-128-gcm hw  -   y  -  +4321/,
    );
  });

  it('counts the sockets that do not fit', () => {
    const sockets = Array.from({ length: 100 }, () => socket());
    const text = render(frame({ now: { counters: {}, interfaces: {}, sockets }, height: 24 }));
    expect(lines(text).length).toBeLessThanOrEqual(24);
    expect(text).toMatch(/… and \d+ more\n$/);
  });

  it('says why there may be no sockets', () => {
    expect(render(frame({ hint: 'only root sees them' }))).toContain('only root sees them');
  });
});

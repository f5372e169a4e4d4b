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

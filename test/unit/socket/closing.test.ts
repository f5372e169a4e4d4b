import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Closing, TCP_CLOSE, expectedInTcp } from '../../../lib/socket/closing.js';
import { cipherSuiteByName } from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';
import { FakeChannel } from '../../support/fake-channel.js';

const { EAGAIN, ECONNRESET, EINVAL, EPERM, EPIPE } = constants.errno;
const version = ProtocolVersion.TLS13;
const suite = cipherSuiteByName('TLS_AES_128_GCM_SHA256', version)!;
const installed = {
  suite,
  version,
  bytesInTcp: 1000,
  firstSendSequence: 2n,
  fragmentLimit: null,
};
/** One data record of 500 bytes, then close_notify. */
const PLAINTEXT = 500;
const ALL = 1000 + PLAINTEXT + 2 + 2 * suite.recordOverhead;

let channel: FakeChannel;
let done: (Error | null)[];
let closing: Closing;
let peerEnded: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  channel = new FakeChannel(-EAGAIN);
  channel.sequence = 4n;
  channel.inTcp = ALL;
  done = [];
  peerEnded = false;
  closing = new Closing(
    channel.asChannel(),
    installed,
    () => PLAINTEXT,
    () => peerEnded,
    (error) => done.push(error),
  );
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('Closing', () => {
  it('sends close_notify and is done when TCP has everything', () => {
    closing.advance();
    expect(channel.sent).toEqual([{ type: 21, payload: Buffer.from([1, 0]) }]);
    expect(done).toEqual([null]);
  });

  it('sends close_notify once there is room for it, and once only', () => {
    channel.sendResults.push(-EAGAIN, -EAGAIN);
    closing.advance();
    closing.advance();
    expect(done).toEqual([]);
    expect(channel.sent).toEqual([]);
    closing.advance();
    closing.advance();
    expect(channel.sent).toHaveLength(1);
    expect(done).toEqual([null]);
  });

  it('fails if close_notify cannot be sent', () => {
    channel.sendResults.push(-EPIPE);
    closing.advance();
    expect(done).toMatchObject([{ code: 'EPIPE', syscall: 'sendmsg' }]);
  });

  it.each([EPIPE, ECONNRESET])(
    'needs no close_notify to a peer that ended and is gone (%i)',
    (errno) => {
      peerEnded = true;
      channel.sendResults.push(-errno);
      closing.advance();
      expect(done).toEqual([null]);
    },
  );

  it('fails although the peer has ended, if it is not that it is gone', () => {
    peerEnded = true;
    channel.sendResults.push(-EINVAL);
    closing.advance();
    expect(done).toMatchObject([{ code: 'EINVAL' }]);
  });

  it('waits until TCP has the last byte', () => {
    channel.inTcp = ALL - 1;
    closing.advance();
    vi.advanceTimersByTime(1000);
    expect(done).toEqual([]);
    channel.inTcp = ALL;
    vi.advanceTimersByTime(1000);
    expect(done).toEqual([null]);
    expect(channel.sent).toHaveLength(1);
  });

  it('does not wait for its timer when the socket becomes writable', () => {
    channel.inTcp = ALL - 1;
    closing.advance();
    channel.inTcp = ALL;
    closing.advance();
    expect(done).toEqual([null]);
  });

  it('asks ever less often while the peer stalls', () => {
    channel.inTcp = ALL - 1;
    closing.advance();
    const asked = (): number => {
      const { asks } = channel;
      vi.advanceTimersByTime(60_000);
      return channel.asks - asks;
    };
    expect(asked()).toBeLessThan(80);
    expect(asked()).toBe(60);
    closing.cancel();
  });

  it('asks soon again when the socket becomes writable', () => {
    channel.inTcp = ALL - 2;
    closing.advance();
    vi.advanceTimersByTime(60_000);
    channel.inTcp = ALL - 1;
    closing.advance();
    channel.inTcp = ALL;
    vi.advanceTimersByTime(1);
    expect(done).toEqual([null]);
  });

  it.each([
    ['how many records it has sent', () => (channel.sequence = -EINVAL), 'EINVAL'],
    ['how many bytes TCP has taken', () => (channel.inTcp = -EPERM), 'EPERM'],
  ])('does not take it for safe when the kernel does not tell %s', (_name, refuse, code) => {
    refuse();
    closing.advance();
    expect(done).toEqual([expect.objectContaining({ code, syscall: 'getsockopt' })]);
  });

  it('counts on what the kernel had taken before', () => {
    channel.inTcp = ALL - 1000;
    closing.advance();
    expect(done).toEqual([]);
    closing.cancel();
  });

  it('reports a connection that is broken', () => {
    channel.sendResults.push(-EPIPE);
    closing.advance();
    expect(done).toEqual([expect.objectContaining({ code: 'EPIPE', syscall: 'sendmsg' })]);
  });

  it.each([
    ['with its error', -ECONNRESET, 'ECONNRESET'],
    ['although a failed send has taken its error', 0, 'EPIPE'],
  ])('does not wait for TCP behind a reset, %s', (_name, error, code) => {
    channel.inTcp = ALL - 1;
    closing.advance();
    expect(done).toEqual([]);
    channel.state = TCP_CLOSE;
    channel.error = error;
    vi.advanceTimersByTime(1000);
    expect(done).toEqual([expect.objectContaining({ code, syscall: 'sendmsg' })]);
  });

  it('does not mind a reset when TCP has had everything', () => {
    channel.state = TCP_CLOSE;
    closing.advance();
    expect(done).toEqual([null]);
  });

  it.each([
    ['before close_notify was sent', -EAGAIN],
    ['while it waits for TCP', 2],
  ])('says nothing any more when it is cancelled %s', (_name, result) => {
    channel.sendResults.push(result);
    channel.inTcp = 0;
    closing.advance();
    closing.cancel();
    channel.inTcp = ALL;
    vi.advanceTimersByTime(1000);
    closing.advance();
    expect(done).toEqual([]);
  });
});

describe('expectedInTcp', () => {
  it('is what was there, the plaintext, and what each record adds', () => {
    expect(expectedInTcp(channel.asChannel(), installed, PLAINTEXT + 2)).toBe(ALL);
    channel.sequence = 5n;
    expect(expectedInTcp(channel.asChannel(), installed, PLAINTEXT + 2)).toBe(
      ALL + suite.recordOverhead,
    );
  });

  it('is the reason why it cannot be known', () => {
    channel.sequence = -EINVAL;
    expect(expectedInTcp(channel.asChannel(), installed, PLAINTEXT)).toBe(-EINVAL);
  });
});

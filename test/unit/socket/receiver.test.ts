import { constants } from 'node:os';
import { setImmediate as immediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { Receiver, discardReceived } from '../../../lib/socket/receiver.js';
import { type Arrival, FakeChannel } from '../../support/fake-channel.js';

const { EAGAIN, EBADMSG, ECONNRESET } = constants.errno;
const ALERT = 21;
const HANDSHAKE = 22;
const DATA = 23;
const END: Arrival = { type: 0, payload: Buffer.alloc(0) };

const data = (text: string): Arrival => ({ type: DATA, payload: Buffer.from(text) });
const control = (type: number, text: string): Arrival => ({ type, payload: Buffer.from(text) });

let channel: FakeChannel;
let seen: string[];
let more: boolean;
let onData: (() => void) | undefined;
let receiver: Receiver;

beforeEach(() => {
  channel = new FakeChannel(-EAGAIN);
  seen = [];
  more = true;
  onData = undefined;
  receiver = new Receiver(channel.asChannel(), {
    data(chunk) {
      seen.push(chunk.toString());
      onData?.();
      return more;
    },
    control: (type, payload) => void seen.push(`${type}:${payload.toString()}`),
    end: () => void seen.push('end'),
    failed: (result) => void seen.push(`failed ${result}`),
    waiting: (waits) => void seen.push(waits ? 'waits' : 'rests'),
  });
});

describe('Receiver', () => {
  it('reads nothing before it is wanted', () => {
    channel.arrivals.push(data('a'));
    receiver.ready();
    expect(channel.receives).toBe(0);
  });

  it('reads until the kernel has no more, short reads or not', () => {
    channel.arrivals.push(data('a'), data('bc'), data('d'));
    receiver.start();
    expect(seen).toEqual(['waits', 'a', 'bc', 'd']);
    expect(channel.receives).toBe(4);
  });

  it('does not ask again before the channel says so', () => {
    receiver.start();
    channel.arrivals.push(data('late'));
    receiver.start();
    expect(seen).not.toContain('late');
    receiver.ready();
    expect(seen).toContain('late');
  });

  it('gives control records in their place between data', () => {
    channel.arrivals.push(data('a'), control(HANDSHAKE, 'ticket'), data('b'), control(ALERT, '!'));
    receiver.start();
    expect(seen).toEqual(['waits', 'a', '22:ticket', 'b', '21:!']);
  });

  it('takes an empty control record for one, and not for the end', () => {
    channel.arrivals.push(control(HANDSHAKE, ''), data('a'));
    receiver.start();
    expect(seen).toEqual(['waits', '22:', 'a']);
  });

  it.each([0, DATA])('takes nothing of type %i for the end, and reads no more', (type) => {
    channel.arrivals.push(data('a'), { ...END, type });
    receiver.start();
    channel.arrivals.push(data('b'));
    receiver.ready();
    receiver.start();
    expect(seen).toEqual(['waits', 'a', 'rests', 'end']);
  });

  it.each([EBADMSG, ECONNRESET])('reports errno %i once, and reads no more', (errno) => {
    channel.arrivals.push(data('a'), -errno, -errno);
    receiver.start();
    receiver.ready();
    expect(seen).toEqual(['waits', 'a', 'rests', `failed ${-errno}`]);
  });

  it('pauses when the consumer has enough, and goes on where it stopped', () => {
    channel.arrivals.push(data('a'), data('b'));
    more = false;
    receiver.start();
    expect(seen).toEqual(['waits', 'a', 'rests']);
    more = true;
    receiver.start();
    expect(seen.slice(3)).toEqual(['waits', 'b']);
  });

  it('stays stopped when it is stopped by what it delivered', () => {
    channel.arrivals.push(data('a'), data('b'));
    onData = () => receiver.stop();
    receiver.start();
    receiver.start();
    expect(seen).toEqual(['waits', 'a', 'rests']);
  });

  it('does not read within reading', () => {
    channel.arrivals.push(data('a'), data('b'));
    onData = () => receiver.start();
    receiver.start();
    expect(seen.filter((each) => each.length === 1)).toEqual(['a', 'b']);
  });

  it('gives the loop its turn after 16 calls, and then goes on by itself', async () => {
    const letters = Array.from('abcdefghijklmnopqrstuvwxyz');
    channel.arrivals.push(...letters.map(data));
    receiver.start();
    expect(channel.receives).toBe(16);
    // That more has come makes the turn no longer.
    receiver.ready();
    expect(channel.receives).toBe(16);
    await immediate();
    expect(seen.slice(1)).toEqual(letters);
  });

  it('goes on in another turn when a listener throws', async () => {
    channel.arrivals.push(data('a'), data('b'));
    onData = () => {
      onData = undefined;
      throw new Error('of the application');
    };
    expect(() => receiver.start()).toThrow('of the application');
    await immediate();
    expect(seen).toEqual(['waits', 'a', 'b']);
  });

  it.each([100, 5000])('leaves chunks of %i bytes as they are when it reads on', (length) => {
    const chunks: Buffer[] = [];
    const keeping = new Receiver(channel.asChannel(), {
      data: (chunk) => chunks.push(chunk) > 0,
      control: () => undefined,
      end: () => undefined,
      failed: () => undefined,
      waiting: () => undefined,
    });
    const sent = Array.from({ length: 40 }, (_, i) => Buffer.alloc(length, i));
    for (const payload of sent) {
      channel.arrivals.push({ type: DATA, payload });
      keeping.start();
      keeping.ready();
    }
    expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
  });
});

describe('discardReceived', () => {
  it('empties the queue', () => {
    channel.arrivals.push(control(HANDSHAKE, 'ticket'), data('a'), control(ALERT, '!'));
    discardReceived(channel.asChannel());
    expect(channel.arrivals).toEqual([]);
  });

  it.each([
    ['the end', END],
    ['an error', -EBADMSG],
  ])('stops at %s', (_name, last) => {
    channel.arrivals.push(data('a'), last, data('b'));
    discardReceived(channel.asChannel());
    expect(channel.arrivals).toHaveLength(1);
  });

  it('gives up on a peer that never stops', () => {
    channel.idle = DATA * 0x1000000 + 1;
    discardReceived(channel.asChannel());
    expect(channel.receives).toBeLessThan(100);
  });
});

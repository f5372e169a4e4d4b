/** `connect({ onread })`: a program's own buffer, whatever the program does while it is called. */
import { once } from 'node:events';
import { constants } from 'node:os';
import { setImmediate as immediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Consumer, consumerOf } from '../../../lib/socket/consumers.js';
import type { DataPath } from '../../../lib/socket/data-path.js';
import { Receiver } from '../../../lib/socket/receiver.js';
import { FakeChannel } from '../../support/fake-channel.js';
import { Link } from '../../support/native.js';
import { uncaughtDuring } from '../../support/uncaught.js';

const DATA = 23;
const RECORD = 100;
const RECORDS = 20;
const sent = Buffer.from(Array.from({ length: RECORD * RECORDS }, (_, i) => i % 251));

let link: Link;
let consumer: Consumer;
let path: Pick<DataPath, 'read' | 'pause'>;
let got: Buffer;
let calls: number;
/** What the program does in its callback. */
let program: () => unknown;
/** What it answers when it is asked for a buffer. */
let buffer: () => unknown;
let channel: FakeChannel;
let receiver: Receiver;

/** As the socket has them. */
function pause(): void {
  if (consumer.pause()) path.pause();
}
function resume(): void {
  if (consumer.resume()) path.read();
}

beforeEach(async () => {
  link = await Link.open();
  [got, calls] = [Buffer.alloc(0), 0];
  program = () => undefined;
  const own = Buffer.alloc(30);
  buffer = () => own;
  channel = new FakeChannel(-constants.errno.EAGAIN);
  for (let at = 0; at < sent.length; at += RECORD) {
    channel.arrivals.push({ type: DATA, payload: sent.subarray(at, at + RECORD) });
  }
  receiver = new Receiver(channel.asChannel(), {
    data: (chunk) => consumer.deliver(chunk),
    control: () => undefined,
    end: () => consumer.deliverEnd(),
    failed: () => undefined,
    waiting: () => undefined,
  });
  path = { read: () => receiver.start(), pause: () => receiver.pause() };
  consumer = consumerOf(link.socket, path as DataPath, false, {
    buffer: () => buffer() as Uint8Array,
    callback: (bytes, own) => {
      calls++;
      got = Buffer.concat([got, own.subarray(0, bytes)]);
      return program() as boolean;
    },
  });
});

afterEach(() => link[Symbol.asyncDispose]());

async function untilAll(): Promise<void> {
  for (let turns = 0; got.length < sent.length && turns < 50; turns++) await immediate();
  expect(got.equals(sent)).toBe(true);
}

it('gets all of it in order', async () => {
  path.read();
  await untilAll();
});

it('may pause and resume at once', async () => {
  program = () => {
    pause();
    resume();
  };
  path.read();
  await untilAll();
});

it('may pause, resume later and then do both at once', async () => {
  program = () => {
    pause();
    if (calls === 1) setImmediate(resume);
    else resume();
  };
  path.read();
  expect(calls).toBe(1);
  await untilAll();
});

it('may refuse more and resume for each piece', async () => {
  program = () => {
    setImmediate(resume);
    return false;
  };
  path.read();
  for (let turns = 0; got.length < sent.length; turns++) {
    expect(calls).toBeLessThanOrEqual(turns + 1);
    await immediate();
  }
  await untilAll();
});

it('may read on while it is called', async () => {
  program = () => {
    if (calls === 1) pause();
    // As `socket.read(0)` does.
    if (calls === 2) path.read();
  };
  path.read();
  expect(calls).toBe(1);
  resume();
  await untilAll();
});

it('loses nothing if the program throws', async () => {
  const thrown = new Error("the program's own");
  program = () => {
    if (calls === 1) throw thrown;
  };
  const uncaught = await uncaughtDuring(async () => {
    path.read();
    await untilAll();
  });
  expect(uncaught).toEqual([thrown]);
});

it('is left alone once it has destroyed the socket', async () => {
  program = () => void link.socket.destroy();
  path.read();
  for (let turns = 0; turns < 10; turns++) await immediate();
  expect(calls).toBe(1);
});

it('keeps its buffer if it has no other to offer', async () => {
  path.read();
  buffer = () => undefined;
  await untilAll();
});

it('that is no buffer at all ends the connection, once', async () => {
  const uncaught = await uncaughtDuring(async () => {
    const thrown = new Error("the program's own");
    consumer = consumerOf(link.socket, path as DataPath, false, {
      buffer: () => {
        throw thrown;
      },
      callback: () => true,
    });
    path.read();
    await immediate();
  });
  expect(uncaught).toHaveLength(1);
  expect(link.socket.errored).toMatchObject({ code: 'ENOBUFS' });
});

it('gets nothing while it is paused, from the start', async () => {
  pause();
  // As the socket does when it is secured, come what may.
  path.read();
  for (let turns = 0; turns < 10; turns++) await immediate();
  expect(calls).toBe(0);
  resume();
  await untilAll();
});

it('is not overtaken by an end that comes while it is paused', async () => {
  channel.arrivals.length = 0;
  let ended = false;
  link.socket.once('end', () => (ended = true));
  program = () => false;
  consumer.deliver(Buffer.alloc(50, 1));
  consumer.deliverEnd();
  for (let turns = 0; turns < 10; turns++) await immediate();
  expect([got.length, ended]).toEqual([30, false]);
  program = () => true;
  const end = once(link.socket, 'end');
  resume();
  expect(got.length).toBe(50);
  await end;
});

it('with no room in it ends the connection, as with net.Socket', async () => {
  const errors: unknown[] = [];
  link.socket.on('error', (error) => errors.push(error));
  consumer = consumerOf(link.socket, path as DataPath, false, {
    buffer: Buffer.alloc(0),
    callback: () => true,
  });
  path.read();
  await immediate();
  expect(errors).toEqual([expect.objectContaining({ code: 'ENOBUFS', syscall: 'read' })]);
});

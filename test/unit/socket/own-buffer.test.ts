/** `connect({ onread })`: a program's own buffer, whatever the program does while it is called. */
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
  const channel = new FakeChannel(-constants.errno.EAGAIN);
  for (let at = 0; at < sent.length; at += RECORD) {
    channel.arrivals.push({ type: DATA, payload: sent.subarray(at, at + RECORD) });
  }
  const receiver = new Receiver(channel.asChannel(), {
    data: (chunk) => consumer.deliver(chunk),
    control: () => undefined,
    end: () => undefined,
    failed: () => undefined,
    waiting: () => undefined,
  });
  path = { read: () => receiver.start(), pause: () => receiver.pause() };
  consumer = consumerOf(link.socket, path as DataPath, false, {
    buffer: Buffer.alloc(30),
    callback: (bytes, buffer) => {
      calls++;
      got = Buffer.concat([got, buffer.subarray(0, bytes)]);
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

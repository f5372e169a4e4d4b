/** No key protects more records than it may, whatever is written: the kernel's number is asked for in time. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import { Direction, Ready } from '../../../lib/kernel/binding.js';
import { Rekeying } from '../../../lib/kernel/rekey.js';
import { parseSendFile } from '../../../lib/options.js';
import { TCP_CLOSE } from '../../../lib/socket/closing.js';
import type { Chunk } from '../../../lib/socket/data-path.js';
import { KernelPath } from '../../../lib/socket/kernel-path.js';
import { FileRequest } from '../../../lib/socket/send-file.js';
import { cipherSuiteByName } from '../../../lib/tls/cipher-suites.js';
import { ContentType, ProtocolVersion, maxPlaintextLength } from '../../../lib/tls/constants.js';
import { FakeChannel } from '../../support/fake-channel.js';

const { EAGAIN, ENOMEM } = constants.errno;
const version = ProtocolVersion.TLS13;
const suite = cipherSuiteByName('TLS_AES_128_GCM_SHA256', version)!;
const LIMIT = 50;
/** Records that node:tls has sent under the same key. */
const TICKETS = 2n;
/** libuv's: pieces that go to the kernel in one call. */
const IOV_MAX = 1024;

/** Makes records of what is written, as the kernel does, and counts them. */
class CountingChannel extends FakeChannel {
  /** Records under each key that is no longer in use. */
  readonly retired: number[] = [];
  /** A negated errno: what the kernel says of a key. */
  refusal = 0;
  offers = 0;
  asked = 0;
  recordSize = maxPlaintextLength;
  /** Whether the kernel does not tell the number of its records. */
  silent = false;

  installKeys(direction: Direction): number {
    this.offers++;
    if (this.refusal < 0) return this.refusal;
    if (direction === Direction.TX) {
      this.retired.push(Number(this.sequence));
      this.sequence = 0n;
    }
    return 0;
  }

  setMaxPayload(bytes: number): number {
    this.recordSize = bytes;
    return 0;
  }

  override sendRecord(type: number, payload: Uint8Array): number {
    const result = super.sendRecord(type, payload);
    if (result >= 0) this.sequence = BigInt(this.sequence) + 1n;
    return result;
  }

  override sendSequence(): bigint | number {
    this.asked++;
    return this.silent ? -ENOMEM : super.sendSequence();
  }

  watchWritable(): number {
    return 0;
  }

  /** @param pieces - The lengths of what is written at once. */
  encrypt(pieces: number[]): void {
    for (let at = 0; at < pieces.length; at += IOV_MAX) {
      const bytes = pieces.slice(at, at + IOV_MAX).reduce((sum, length) => sum + length, 0);
      this.sequence = BigInt(this.sequence) + BigInt(Math.ceil(bytes / this.recordSize));
    }
  }
}

let channel: CountingChannel;
let path: KernelPath;
/** The number of records under the key in use at the start of each write. */
let before: number[];
/** A listener of 'data'. */
let deliver: () => boolean;

beforeEach(() => {
  deliver = () => true;
  channel = new CountingChannel(-EAGAIN);
  channel.sequence = TICKETS;
  before = [];
  const written = (chunks: Chunk[], callback: () => void): void => {
    before.push(Number(channel.sequence));
    channel.encrypt(chunks.map(({ chunk, encoding }) => Buffer.byteLength(chunk, encoding)));
    callback();
  };
  const ignored = (): void => undefined;
  path = new KernelPath(
    {
      channel: channel.asChannel(),
      installed: {
        ...{ suite, version, bytesInTcp: 0, firstSendSequence: TICKETS },
        fragmentLimit: null,
      },
      isServer: true,
      parksRecords: true,
      rekeying: new Rekeying(channel.asChannel(), randomBytes(32), randomBytes(32)),
      rekeyAfter: LIMIT,
      shadow: null,
    },
    {
      deliver: () => deliver(),
      deliverEnd: ignored,
      destroy: (error) => path.close(error ?? null),
      waiting: ignored,
      reset: ignored,
      progressed: ignored,
      fileProgress: ignored,
      rekeyed: ignored,
      handle: {
        write: (chunk, encoding, callback) => written([{ chunk, encoding }], callback),
        writev: written,
        shutdown: ignored,
        setNoDelay: ignored,
        fd: () => -1,
        bytesWritten: () => 0,
      },
    },
  );
});

const write = (chunk: Buffer | string): void =>
  path.write(
    chunk,
    typeof chunk === 'string' ? 'utf8' : ('buffer' as BufferEncoding),
    () => undefined,
  );
const small = Buffer.alloc(1);
const large = Buffer.alloc(20 * maxPlaintextLength);
const huge = Buffer.alloc(60 * maxPlaintextLength);

const writers: [what: string, write: (turn: number) => void][] = [
  ['small chunks', () => write(small)],
  ['large chunks', () => write(large)],
  ['small chunks and large ones', (turn) => write(turn % 7 === 0 ? large : small)],
  ['chunks that are beyond the limit', (turn) => write(turn % 10 < 2 ? huge : small)],
  ['a large chunk after many small ones', (turn) => write(turn % 45 === 44 ? large : small)],
  ['text of more bytes than characters', () => write('€'.repeat(5 * maxPlaintextLength))],
  [
    'very many pieces at once',
    () => {
      const chunk = { chunk: small, encoding: 'buffer' as BufferEncoding };
      path.writev(new Array<Chunk>(20 * IOV_MAX).fill(chunk), () => undefined);
    },
  ],
];

describe('a key is changed', () => {
  for (const [what, writeOne] of writers) {
    it(`ahead of the write that comes after its last record: ${what}`, () => {
      for (let turn = 0; turn < 500; turn++) writeOne(turn);
      expect(before).toHaveLength(500);
      expect(Math.max(...before)).toBeLessThan(LIMIT);
      expect(channel.retired.length).toBeGreaterThan(1);
      expect(Math.min(...channel.retired)).toBeGreaterThanOrEqual(LIMIT);
    });
  }

  it('in time also among files that are read and written', async () => {
    for (let turn = 0; turn < 200; turn++) {
      // Its size is told when it is read.
      const request = new FileRequest('/proc/version', parseSendFile());
      await new Promise((resolve) => path.sendFile(request, resolve));
    }
    expect(before).toHaveLength(200);
    expect(Math.max(...before)).toBeLessThan(LIMIT);
    expect(channel.retired.length).toBeGreaterThan(1);
  });

  it('in time also when records become shorter', () => {
    write(large);
    expect(path.setMaxFragment(512)).toBe(true);
    for (let turn = 0; turn < 500; turn++) write(Buffer.alloc(5 * 512));
    expect(Math.max(...before)).toBeLessThan(LIMIT);
    expect(channel.retired.length).toBeGreaterThan(1);
  });

  it('as soon as there is room for the KeyUpdate; what was written meanwhile counts for the next', () => {
    for (let turn = 0; turn < 50; turn++) {
      channel.sendResults.push(-EAGAIN, -EAGAIN);
      for (let held = 0; held < 3; held++) write(large);
      path.ready(Ready.WRITE);
      path.ready(Ready.WRITE);
      // The next limit may have been reached within what was held.
      path.ready(Ready.WRITE);
      path.ready(Ready.WRITE);
    }
    channel.sendResults.length = 0;
    path.ready(Ready.WRITE);
    expect(before).toHaveLength(150);
    expect(Math.max(...before)).toBeLessThan(LIMIT);
    expect(channel.retired.length).toBeGreaterThan(1);
  });

  it('in time also when the kernel could not say how many records there are', () => {
    for (let turn = 0; turn < 500; turn++) {
      channel.silent = turn % 10 !== 0;
      write(small);
    }
    expect(Math.max(...before)).toBeLessThan(LIMIT + 10);
    expect(channel.retired.length).toBeGreaterThan(1);
  });

  it('with the next write when the kernel was short of memory for the KeyUpdate', () => {
    for (let turn = 0; turn < 500; turn++) {
      channel.sendResults.length = 0;
      if (turn % 10 !== 0) channel.sendResults.push(-ENOMEM);
      write(small);
    }
    expect(Math.max(...before)).toBeLessThan(LIMIT + 10);
    expect(channel.retired.length).toBeGreaterThan(1);
  });

  it('although a listener throws when the same event brings data', () => {
    channel.sendResults.push(-EAGAIN);
    deliver = () => {
      throw new Error('of a listener');
    };
    path.read();
    path.updateKeys(false, () => undefined);
    write(small);
    channel.arrivals.push({ type: ContentType.applicationData, payload: small });
    expect(() => path.ready(Ready.READ | Ready.WRITE)).toThrow('of a listener');
    expect(channel.retired).toHaveLength(1);
    expect(before).toHaveLength(1);
  });

  it('and the kernel seldom asked until then', () => {
    for (let turn = 0; channel.retired.length === 0; turn++) write(small);
    expect(channel.asked).toBeLessThan(LIMIT / 4);
  });
});

describe('a KeyUpdate whose key the kernel does not take', () => {
  beforeEach(() => {
    channel.refusal = -ENOMEM;
  });

  it('has no data behind it, held or new', () => {
    channel.sendResults.push(-EAGAIN);
    const ends: unknown[] = [];
    const note = (error?: Error | null): void => void ends.push(error);
    path.updateKeys(false, note);
    path.write(large, 'buffer' as BufferEncoding, note);
    path.write(large, 'buffer' as BufferEncoding, note);
    expect(ends).toEqual([]);
    path.ready(Ready.WRITE);
    // A second attempt would succeed, under a key that the peer does not expect.
    channel.refusal = 0;
    path.ready(Ready.WRITE);
    expect(before).toEqual([]);
    expect(channel.sent).toHaveLength(1);
    expect(channel.offers).toBe(1);
    expect(ends).toEqual([
      expect.objectContaining({ code: 'ECANCELED' }),
      expect.objectContaining({ code: 'ECANCELED' }),
      expect.objectContaining({ code: 'ERR_KTLS_REKEY' }),
    ]);
  });

  it('is the last that its connection sends', () => {
    const rekeying = new Rekeying(channel.asChannel(), randomBytes(32), randomBytes(32));
    const installed = { suite, version, bytesInTcp: 0, firstSendSequence: 0n, fragmentLimit: null };
    expect(() => rekeying.send(installed, false)).toThrow(/ENOMEM/);
    channel.refusal = 0;
    expect(() => rekeying.send(installed, false)).toThrow(/ENOMEM/);
    expect(channel.sent).toHaveLength(1);
    expect(channel.offers).toBe(1);
  });
});

describe('a connection that is reset', () => {
  const broken = expect.objectContaining({ code: 'ECONNRESET', syscall: 'write' }) as Error;

  it('takes no data any more, although its kernel would, nor does what a KeyUpdate holds back wait', async () => {
    channel.sendResults.push(-EAGAIN);
    const ends: unknown[] = [];
    const note = (error?: Error | null): void => void ends.push(error);
    path.updateKeys(false, () => undefined);
    path.write(large, 'buffer' as BufferEncoding, note);
    path.writev([{ chunk: small, encoding: 'buffer' as BufferEncoding }], note);
    channel.state = TCP_CLOSE;
    path.ready(Ready.HANGUP);
    expect(ends).toEqual([broken, broken]);

    path.ready(Ready.WRITE);
    path.write(small, 'buffer' as BufferEncoding, note);
    path.writev([{ chunk: small, encoding: 'buffer' as BufferEncoding }], note);
    const request = new FileRequest('/proc/version', parseSendFile());
    path.sendFile(request, note);
    expect(ends).toEqual([broken, broken, broken, broken, broken]);
    expect(before).toEqual([]);
    request.interrupt(null);
    await expect(request.sent).rejects.toMatchObject({ code: 'ERR_KTLS_SEND_INTERRUPTED' });
  });

  it('says that it was ended by its peer if that is what was read first', () => {
    const ends: unknown[] = [];
    path.read();
    // FIN.
    channel.arrivals.push(0);
    channel.state = TCP_CLOSE;
    path.ready(Ready.READ | Ready.HANGUP | Ready.WRITE);
    path.write(small, 'buffer' as BufferEncoding, (error) => ends.push(error));
    expect(ends).toEqual([expect.objectContaining({ code: 'EPIPE' })]);
  });
});

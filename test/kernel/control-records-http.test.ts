/**
 * Records that carry no data, and records that are wrong, where the HTTP/1 parser or an http2 session reads
 * the socket in native code: what the application sees, as beside node:https, and what the peer gets back.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { request as httpsRequest } from '../../lib/https.js';
import { offload, stats } from '../../lib/index.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { alertError } from '../../lib/tls/alerts.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type AnySocket, type Side, isOffloaded } from '../support/connection.js';
import { type Serving, rawRequest, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { followUpdates } from '../support/key-updates.js';
import {
  type PlainRecord,
  RecordPeer,
  alert,
  closeNotify,
  data,
  handshake,
  keyUpdate,
  newSessionTicket,
} from '../support/record-peer.js';
import { type Version, versions } from '../support/scripted.js';
import { limitTcpBuffers, narrow } from '../support/tcp-buffers.js';

const AES128 = 51;
const warning = 1;
const fatal = 2;
const unexpectedMessage = 10;
const badRecordMac = 20;
const handshakeFailure = 40;
const internalError = 80;
const userCanceled = 90;

const upload = rawRequest('POST /', 'Content-Length: 10');

/** What the server's application saw, in order. */
class Log {
  readonly events: string[] = [];
  readonly codes: (string | undefined)[] = [];

  note = (event: string, error?: Error): void => {
    this.events.push(event);
    if (error !== undefined) this.codes.push((error as NodeJS.ErrnoException).code);
  };
}

interface Scene {
  readonly peer: RecordPeer;
  readonly log: Log;
  readonly socket: AnySocket;
}

/** Answers a request with its body, once all of it is there. */
function echo(log: Log, request: IncomingMessage, response: ServerResponse): void {
  log.note('request');
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    log.note(`end ${Buffer.concat(chunks).toString()}`);
    response.end(Buffer.concat(chunks));
  });
  request.on('error', (error) =>
    log.note(`error behind ${Buffer.concat(chunks).toString()}`, error),
  );
}

async function onServer(
  side: Side,
  version: Version,
  body: (scene: Scene) => Promise<void>,
  respond = echo,
): Promise<Log> {
  const log = new Log();
  const options = { minVersion: version, maxVersion: version };
  await using serving: Serving = await serve(
    (request, response) => respond(log, request, response),
    {
      side,
      options,
    },
  );
  serving.server.on('clientError', (error, socket) => {
    log.note('clientError', error);
    socket.destroy();
  });
  const secured = once(serving.server, 'secureConnection') as Promise<[AnySocket]>;
  await using peer = await RecordPeer.connect(serving.port, options);
  const [socket] = await secured;
  if (side === 'ktls') expect(isOffloaded(socket)).toBe(true);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('close', () => log.note('close'));
  await body({ peer, log, socket });
  peer.socket.destroy();
  await closed;
  return log;
}

function forEachVersion(
  name: string,
  body: (scene: Scene, version: Version) => Promise<void>,
  only: readonly Version[] = versions,
): void {
  for (const version of only) {
    it(`${name} (${version})`, async () => {
      await onServer('ktls', version, (scene) => body(scene, version));
    });
  }
}

const answers = (peer: RecordPeer): number =>
  peer.receivedData.toString('latin1').split('HTTP/1.1 200').length - 1;

/** More than TCP's buffers hold, if they are narrow. */
const longAnswer = Buffer.alloc(1 << 20, 'answer ');

function answerAtLength(_log: Log, request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.setHeader('Content-Length', longAnswer.length);
  response.end(longAnswer);
}

/** Asks for a long answer and reads nothing, until what is left of it waits for room. */
async function askAndWait({ peer, socket }: Scene): Promise<void> {
  peer.send(data(rawRequest('GET /')));
  peer.socket.pause();
  while (socket.writableLength === 0) await new Promise(setImmediate);
}

async function expectLongAnswers(peer: RecordPeer, count: number): Promise<void> {
  await peer.until(() => peer.receivedLength >= count * longAnswer.length);
  const head = peer.receivedData.indexOf('\r\n\r\n') + 4;
  const length = head + longAnswer.length;
  await peer.until(() => peer.receivedLength >= count * length);
  expect(peer.receivedLength).toBe(count * length);
  for (let i = 0; i < count; i++) {
    const body = peer.receivedData.subarray(i * length + head, (i + 1) * length);
    expect(body.equals(longAnswer)).toBe(true);
  }
}

/** That the connection still answers requests. */
async function expectAnswers({ peer }: Scene): Promise<void> {
  const before = answers(peer);
  peer.send(data(upload), data('0123456789'));
  await peer.until(() => answers(peer) === before + 1);
}

function sendKeyUpdate(peer: RecordPeer, before: PlainRecord[], requested = false): void {
  peer.send(...before, handshake(keyUpdate(requested)));
  peer.updateSendKeys();
}

describeKernel('a server whose HTTP/1 parser reads the socket', () => {
  forEachVersion('reads over what is no data', async (scene) => {
    const { peer, log } = scene;
    const nothing = [alert(warning, userCanceled), data(''), alert(warning, userCanceled)];
    peer.send(...nothing, data(upload.slice(0, 7)), ...nothing, data(upload.slice(7)), ...nothing);
    peer.send(data('01234'), ...nothing, data('56789'), ...nothing);
    await peer.until(() => answers(peer) === 1);
    expect(log.events).toEqual(['request', 'end 0123456789']);
    await expectAnswers(scene);
  });

  forEachVersion(
    'answers all of a pipeline that control records cut into pieces',
    async ({ peer }) => {
      const text = Buffer.from(`${upload}0123456789`.repeat(20));
      const records: PlainRecord[] = [];
      for (let at = 0; at < text.length; at += 37) {
        records.push(data(text.subarray(at, at + 37)), alert(warning, userCanceled));
      }
      peer.send(...records);
      await peer.until(() => answers(peer) === 20);
    },
  );

  for (const version of versions) {
    it(`sends a long answer whole while control records come (${version})`, async (context) => {
      limitTcpBuffers(context, narrow);
      const log = await onServer(
        'ktls',
        version,
        async (scene) => {
          const { peer } = scene;
          await askAndWait(scene);
          for (let i = 0; i < 10; i++) {
            peer.send(alert(warning, userCanceled), data(''));
            await new Promise(setImmediate);
          }
          // The next request waits behind the answer.
          peer.send(data(rawRequest('GET /')), alert(warning, userCanceled));
          peer.socket.resume();
          await expectLongAnswers(peer, 2);
        },
        answerAtLength,
      );
      expect(log.events).toEqual(['close']);
    });

    for (const [name, records] of [
      ['a fatal alert', [alert(fatal, handshakeFailure)]],
      ['close_notify', [closeNotify]],
      ['close_notify, and more behind it', [closeNotify, data('56789'), data(upload)]],
    ] as const) {
      it(`does with ${name} in a request what it does over node:tls (${version})`, async () => {
        const logs: Log[] = [];
        for (const side of ['node', 'ktls'] as const) {
          logs.push(
            await onServer(side, version, async ({ peer }) => {
              peer.send(data(upload), data('01234'), ...records);
              await peer.untilEnded();
            }),
          );
        }
        expect(logs[1]!.events).toEqual(logs[0]!.events);
        expect(logs[1]!.codes).toEqual(logs[0]!.codes);
        expect(logs[1]!.events).toContain('error behind 01234');
      });
    }

    it(`does with close_notify behind a request what it does over node:tls (${version})`, async () => {
      const outcomes = [];
      for (const side of ['node', 'ktls'] as const) {
        const log = await onServer(side, version, async ({ peer }) => {
          peer.send(data(upload), data('0123456789'), closeNotify, data(upload));
          await peer.untilEnded();
          expect(answers(peer)).toBe(1);
          expect(peer.receivedAlerts).toEqual([[warning, 0]]);
        });
        outcomes.push(log.events);
      }
      expect(outcomes[1]).toEqual(outcomes[0]);
    });
  }

  forEachVersion(
    'gives no byte of a record with a bad MAC to the parser',
    async ({ peer, log }) => {
      const errors = stats()!['TlsDecryptError']!;
      peer.send(data(upload), data('01234'));
      const spoilt = peer.seal(data('56789'));
      spoilt[spoilt.length - 1]! ^= 1;
      peer.sendRaw(spoilt);
      await peer.untilEnded();
      expect(peer.receivedAlerts).toEqual([[fatal, badRecordMac]]);
      expect(log.events).toContain('error behind 01234');
      expect(log.codes).toContain('ERR_KTLS_BAD_RECORD');
      expect(stats()!['TlsDecryptError']).toBeGreaterThan(errors);
    },
  );

  forEachVersion('ends the connection at a record of another type', async ({ peer, log }) => {
    peer.send(data(upload), data('01234'), { type: 99, payload: Buffer.of(1) }, data('56789'));
    await peer.untilEnded();
    expect(peer.receivedAlerts).toEqual([[fatal, unexpectedMessage]]);
    expect(log.events).toContain('error behind 01234');
    expect(log.codes).toContain('ERR_KTLS_UNEXPECTED_RECORD');
  });

  if (kernelRekeys(AES128)) {
    forEachVersion(
      'follows KeyUpdates in the middle of requests, and answers under its own next keys',
      async (scene) => {
        const { peer } = scene;
        const seen = followUpdates(peer);
        for (let i = 1; i <= 5; i++) {
          sendKeyUpdate(peer, [data(upload.slice(0, 9))], i % 2 === 0);
          sendKeyUpdate(peer, [data(upload.slice(9)), data('01234')]);
          peer.send(data('56789'));
          await peer.until(() => answers(peer) === i);
        }
        expect(seen.count).toBe(2);
        await expectAnswers(scene);
      },
      ['TLSv1.3'],
    );

    it('answers a KeyUpdate while a long answer waits for room', async (context) => {
      limitTcpBuffers(context, narrow);
      await onServer(
        'ktls',
        'TLSv1.3',
        async (scene) => {
          const { peer } = scene;
          const seen = followUpdates(peer);
          await askAndWait(scene);
          sendKeyUpdate(peer, [], true);
          peer.send(data(rawRequest('GET /')));
          await new Promise(setImmediate);
          peer.socket.resume();
          await expectLongAnswers(peer, 2);
          expect(seen.count).toBe(1);
        },
        answerAtLength,
      );
    });
  } else {
    forEachVersion(
      'ends at a KeyUpdate, which this kernel cannot follow, behind the data before it',
      async ({ peer, log }) => {
        sendKeyUpdate(peer, [data(upload), data('01234')]);
        peer.send(data('56789'));
        await peer.untilEnded();
        expect(peer.receivedAlerts).toEqual([[fatal, internalError]]);
        expect(log.events).toContain('error behind 01234');
        expect(log.codes).toContain('ERR_KTLS_KEY_UPDATE');
      },
      ['TLSv1.3'],
    );
  }
});

describeKernel('a client whose HTTP/1 parser reads the socket', () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n';

  /** Has the peer answer a request with these records. @returns the body, or the error it ended with */
  async function answered(
    respond: (peer: RecordPeer) => void,
    version: Version = 'TLSv1.3',
  ): Promise<{ body: string; code?: string | undefined; sessions: number }> {
    const limits = { minVersion: version, maxVersion: version };
    const { port, accepted } = await RecordPeer.listen(limits);
    const outcome = { body: '', sessions: 0 };
    const outgoing = httpsRequest({
      ...{ host: '127.0.0.1', port, agent: false, rejectUnauthorized: false },
      ...limits,
    });
    let client: AnySocket | undefined;
    outgoing.on('socket', (socket) => {
      client = socket as AnySocket;
      socket.on('session', () => outcome.sessions++);
    });
    outgoing.end();
    const result = new Promise<{ body: string; code?: string | undefined; sessions: number }>(
      (resolve) => {
        const failed = (error: NodeJS.ErrnoException): void =>
          resolve({ ...outcome, code: error.code });
        outgoing.on('error', failed);
        outgoing.on('response', (message) => {
          message.on('data', (chunk: Buffer) => (outcome.body += chunk.toString()));
          message.on('error', failed);
          message.on('end', () => resolve(outcome));
        });
      },
    );
    await using peer = await accepted;
    await peer.until(() => peer.receivedData.toString('latin1').endsWith('\r\n\r\n'));
    expect(isOffloaded(client!)).toBe(true);
    respond(peer);
    return await result;
  }

  it('gets its answer from around tickets', async () => {
    const { body, code } = await answered((peer) => {
      const ticket = handshake(newSessionTicket());
      peer.send(
        data(head.slice(0, 12)),
        ticket,
        data(head.slice(12)),
        data('abc'),
        ticket,
        data('def'),
      );
    });
    expect({ body, code }).toEqual({ body: 'abcdef', code: undefined });
  });

  for (const version of versions) {
    it(`ends with the error of node:tls at a fatal alert (${version})`, async () => {
      const { body, code } = await answered((peer) => {
        peer.send(data(head), data('abc'), alert(fatal, handshakeFailure));
      }, version);
      expect({ body, code }).toEqual({
        body: 'abc',
        code: alertError(fatal, handshakeFailure).code,
      });
    });

    it(`does not take an answer for whole that close_notify cut (${version})`, async () => {
      const { body, code } = await answered((peer) => {
        peer.send(data(head), data('abc'), closeNotify);
      }, version);
      expect({ body, code }).toEqual({ body: 'abc', code: 'ECONNRESET' });
    });
  }
});

describeKernel('a server whose http2 session reads the socket', () => {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const SETTINGS = 4;
  const PING = 6;
  const ACK = 1;

  /** RFC 9113 section 4.1. */
  function frame(type: number, payload: Buffer = Buffer.alloc(0), flags = 0): Buffer {
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    return Buffer.concat([header, payload]);
  }

  const ping = (number: number): Buffer => {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(number, 4);
    return frame(PING, payload);
  };

  /** The numbers of the PINGs that were answered. */
  function pongs(received: Buffer): number[] {
    const numbers: number[] = [];
    for (let at = 0; at + 9 <= received.length;) {
      const length = received.readUIntBE(at, 3);
      if (received[at + 3] === PING && (received[at + 4]! & ACK) !== 0) {
        numbers.push(received.readUInt32BE(at + 9 + 4));
      }
      at += 9 + length;
    }
    return numbers;
  }

  interface Http2Scene {
    readonly peer: RecordPeer;
    readonly session: http2.ServerHttp2Session;
    /** `error <code>`, `close`. */
    readonly events: string[];
    readonly closed: Promise<void>;
  }

  async function onSession(
    side: Side,
    version: Version,
    body: (scene: Http2Scene) => Promise<void>,
  ): Promise<string[]> {
    const limits = { minVersion: version, maxVersion: version };
    const server = http2.createSecureServer({ ...ecdsaCertificate(), ...limits });
    if (side === 'ktls') offload(server);
    server.on('sessionError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sessions = once(server, 'session') as Promise<[http2.ServerHttp2Session]>;
    const secured = once(server, 'secureConnection') as Promise<[AnySocket]>;
    const { port } = server.address() as AddressInfo;
    const events: string[] = [];
    {
      await using peer = await RecordPeer.connect(port, { ...limits, ALPNProtocols: ['h2'] });
      const [socket] = await secured;
      if (side === 'ktls') expect(isOffloaded(socket)).toBe(true);
      peer.send(data(preface), data(frame(SETTINGS)), data(ping(1)));
      const [session] = await sessions;
      session.on('error', (error: NodeJS.ErrnoException) => events.push(`error ${error.code}`));
      const closed = new Promise<void>((resolve) => {
        session.on('close', () => {
          events.push('close');
          resolve();
        });
      });
      await peer.until(() => pongs(peer.receivedData).includes(1));
      await body({ peer, session, events, closed });
      peer.socket.destroy();
      await closed;
    }
    server.close();
    await once(server, 'close');
    return events;
  }

  for (const version of versions) {
    it(`reads over what is no data (${version})`, async () => {
      await onSession('ktls', version, async ({ peer }) => {
        const nothing = [alert(warning, userCanceled), data(''), alert(warning, userCanceled)];
        for (let i = 2; i < 12; i++) {
          const bytes = ping(i);
          peer.send(data(bytes.subarray(0, i)), ...nothing, data(bytes.subarray(i)), ...nothing);
        }
        await peer.until(() => pongs(peer.receivedData).length === 11);
        expect(pongs(peer.receivedData)).toEqual(Array.from({ length: 11 }, (_, i) => i + 1));
      });
    });

    for (const [name, record] of [
      ['a fatal alert', alert(fatal, handshakeFailure)],
      ['close_notify', closeNotify],
    ] as const) {
      it(`does with ${name} what it does over node:tls (${version})`, async () => {
        const outcomes: string[][] = [];
        for (const side of ['node', 'ktls'] as const) {
          outcomes.push(
            await onSession(side, version, async ({ peer, closed }) => {
              peer.send(data(ping(2)), record);
              await closed;
              await peer.untilEnded();
            }),
          );
        }
        expect(outcomes[1]).toEqual(outcomes[0]);
      });
    }

    it(`ends at a record with a bad MAC (${version})`, async () => {
      const events = await onSession('ktls', version, async ({ peer, closed }) => {
        const spoilt = peer.seal(data(ping(2)));
        spoilt[spoilt.length - 1]! ^= 1;
        peer.sendRaw(spoilt);
        await closed;
        await peer.untilEnded();
        expect(peer.receivedAlerts).toEqual([[fatal, badRecordMac]]);
        expect(pongs(peer.receivedData)).toEqual([1]);
      });
      expect(events).toEqual(['error ERR_KTLS_BAD_RECORD', 'close']);
    });
  }

  it(
    kernelRekeys(AES128)
      ? 'follows KeyUpdates, and answers under its own next keys'
      : 'ends at a KeyUpdate, which this kernel cannot follow',
    async () => {
      const events = await onSession('ktls', 'TLSv1.3', async ({ peer, closed }) => {
        const seen = followUpdates(peer);
        const bytes = ping(2);
        sendKeyUpdate(peer, [data(bytes.subarray(0, 4))], true);
        peer.send(data(bytes.subarray(4)));
        if (kernelRekeys(AES128)) {
          await peer.until(() => pongs(peer.receivedData).includes(2));
          expect(seen.count).toBe(1);
        } else {
          await closed;
          await peer.untilEnded();
          expect(peer.receivedAlerts).toEqual([[fatal, internalError]]);
        }
      });
      if (!kernelRekeys(AES128)) expect(events).toEqual(['error ERR_KTLS_KEY_UPDATE', 'close']);
    },
  );
});

/**
 * System calls that fail once, each of those that this library makes on a connection: it goes on as if
 * nothing had been, or it ends with the error's name and nothing that looks like an end in good order.
 * (`test/kernel/clear-text.test.ts` has those of the handshake, and looks at the wire.)
 */
import { beforeAll, expect, it, vi } from 'vitest';
import { type Errno, type FaultyCall, fault, withFaults } from '../support/faults.js';
import { describeKernel } from '../support/kernel.js';
import { type Ended, clean, scriptTimeout, runScript } from '../support/script.js';
import { type Role, type Version, roles, versions } from '../support/scripted.js';

vi.setConfig(scriptTimeout);

/** What our side tells its application, and what its peer gets. */
interface Outcome {
  readonly offloaded: boolean | null;
  readonly events: readonly string[];
  readonly peer: { readonly received: number; readonly closeNotify: boolean };
  readonly received: number;
}

interface Case {
  readonly call: FaultyCall;
  readonly errno: Errno;
  /** Bytes of a file; else of a write. */
  readonly file?: number;
  readonly outcome: Partial<Outcome>;
}

const BYTES = 1000;
const SMALL_FILE = 64 * 1024;
const FILE = 512 * 1024;

const undone = { events: ['end', 'close'], received: BYTES };
const arrives = { events: ['end', 'close'], peer: { received: BYTES, closeNotify: true } };
const dies = (code: string): Partial<Outcome> => ({ events: [`error ${code}`, 'close'] });

/** Both ends are under kernel TLS, and the calls of one of them fail. */
const established: readonly Case[] = [
  { call: 'recvmsg', errno: 'EINTR', outcome: undone },
  { call: 'recvmsg', errno: 'EAGAIN', outcome: undone },
  { call: 'recvmsg', errno: 'ENOMEM', outcome: { ...dies('ENOMEM'), received: 0 } },
  { call: 'recvmsg', errno: 'ENOBUFS', outcome: { ...dies('ENOBUFS'), received: 0 } },
  { call: 'recvmsg', errno: 'ECONNRESET', outcome: { ...dies('ECONNRESET'), received: 0 } },
  // What a lack of memory in decryption is reported as (net/tls/tls_sw.c).
  { call: 'recvmsg', errno: 'EBADMSG', outcome: { ...dies('ERR_KTLS_BAD_RECORD'), received: 0 } },
  { call: 'write', errno: 'EINTR', outcome: arrives },
  { call: 'write', errno: 'EAGAIN', outcome: arrives },
  // libuv takes it for EAGAIN.
  { call: 'write', errno: 'ENOBUFS', outcome: arrives },
  { call: 'write', errno: 'ENOMEM', outcome: dies('ENOMEM') },
  { call: 'write', errno: 'EPIPE', outcome: dies('EPIPE') },
  // Of close_notify.
  { call: 'sendmsg', errno: 'EINTR', outcome: arrives },
  { call: 'sendmsg', errno: 'ENOMEM', outcome: dies('ENOMEM') },
  { call: 'sendmsg', errno: 'ENOBUFS', outcome: dies('ENOBUFS') },
  { call: 'sendmsg', errno: 'ECONNRESET', outcome: dies('ECONNRESET') },
  ...[SMALL_FILE, FILE].flatMap((file): Case[] => [
    {
      call: 'sendfile',
      errno: 'EINTR',
      file,
      outcome: { events: ['end', 'close'], peer: { received: file, closeNotify: true } },
    },
    { call: 'sendfile', errno: 'ENOMEM', file, outcome: dies('ENOMEM') },
    { call: 'sendfile', errno: 'ENOBUFS', file, outcome: dies('ENOBUFS') },
    { call: 'sendfile', errno: 'EIO', file, outcome: dies('EIO') },
  ]),
];

const inUserSpace = { ...arrives, offloaded: false };

/** The peer is node:tls. */
const beginning: readonly Case[] = [
  { call: 'ulp', errno: 'ENOMEM', outcome: inUserSpace },
  { call: 'ulp', errno: 'ENOBUFS', outcome: inUserSpace },
  { call: 'tx', errno: 'ENOMEM', outcome: inUserSpace },
  { call: 'tx', errno: 'ENOBUFS', outcome: inUserSpace },
  { call: 'rx', errno: 'ENOMEM', outcome: dies('ERR_KTLS_INSTALL') },
  { call: 'rx', errno: 'ENOBUFS', outcome: dies('ERR_KTLS_INSTALL') },
];

/** A client's handshake cannot do without; a server still has node:tls. */
const watching = (role: Role): readonly Case[] =>
  (['ENOMEM', 'ENOSPC'] as const).map((errno) => {
    return { call: 'watch', errno, outcome: role === 'server' ? inUserSpace : dies(errno) };
  });

const body = `
  const file = os.tmpdir() + '/ktls-faults-' + process.pid;
  fs.writeFileSync(file, Buffer.alloc(given.file, 'f'));
  const inUse = () => keys() + sockets();
  const closed = (socket) => new Promise((resolve) => socket.on('close', resolve));
  const counting = (socket) => {
    const seen = { received: 0 };
    socket.on('data', (data) => (seen.received += data.length));
    return seen;
  };

  async function one({ role, version, call, fault, early, file: bytes }) {
    const limits = { minVersion: version, maxVersion: version };
    const makers = early && role === 'client' ? [tls.createServer, ktls.connect]
      : early ? [ktls.createServer, tls.connect] : [ktls.createServer, ktls.connect];
    const listener = server(limits, makers[0]);
    const events = [];
    const accepted = new Promise((resolve) => {
      listener.once('secureConnection', resolve);
      listener.once('tlsClientError', (error) => {
        if (role === 'server') events.push('error ' + error.code);
        resolve(null);
      });
    });
    const port = await listening(listener);
    if (early) process.env.KTLS_FAULT = fault;
    const client = connect(port, limits, makers[1]);
    client.on('error', (error) => {
      if (role === 'client' && client.listenerCount('error') === 1) events.push('error ' + error.code);
    });
    const clientClosed = closed(client);
    const secured = new Promise((resolve) => {
      client.once('secureConnect', () => resolve(true));
      client.once('close', () => resolve(false));
    });
    const [accepting, isSecured] = await Promise.all([accepted, secured]);
    let report = { offloaded: null, received: 0, peer: { received: 0, closeNotify: false } };
    if (accepting === null || !isSecured) {
      events.push('close');
      if (accepting !== null) {
        accepting.on('error', () => undefined);
        accepting.destroy();
      }
      await clientClosed;
    } else {
      const [ours, peer] = role === 'client' ? [client, accepting] : [accepting, client];
      ours.removeAllListeners('error');
      for (const event of ['end', 'close']) ours.on(event, () => events.push(event));
      ours.on('error', (error) => events.push('error ' + error.code));
      peer.on('error', () => undefined);
      const over = Promise.all([closed(ours), closed(peer)]);
      const seen = { ours: counting(ours), peer: counting(peer) };
      let closeNotify = false;
      peer.on('end', () => (closeNotify = peer.closeNotifyReceived ?? true));
      if (!early) {
        // Files are sent on a duplicate; the peer sends none.
        process.env.KTLS_FAULT = call === 'sendfile' ? fault : fault + ' ' + ours._handle.fd;
      }
      if (call === 'recvmsg') {
        peer.write(Buffer.alloc(given.bytes / 2));
        await delay(50);
        if (!peer.destroyed) peer.end(Buffer.alloc(given.bytes / 2));
      } else if (call === 'sendfile') {
        ktls.sendFile(ours, file, { end: bytes - 1 }).then(() => ours.end(), () => undefined);
      } else {
        ours.end(Buffer.alloc(given.bytes));
      }
      await over;
      report = {
        offloaded: ours.offload?.offloaded ?? false,
        received: seen.ours.received,
        peer: { received: seen.peer.received, closeNotify },
      };
    }
    process.env.KTLS_FAULT = '';
    listener.close();
    await once(listener, 'close');
    say('result', JSON.stringify({ ...report, events }));
  }

  // Whatever the kernel is asked once a process has been asked after this.
  const first = await pair();
  first.client.destroy();
  first.server.destroy();
  first.listener.close();
  await once(first.listener, 'close');
  const before = inUse();
  for (const each of given.cases) await one(each);
  // A leak is a process that is killed in the end.
  while (inUse() > before) await delay(20);
  fs.rmSync(file);
`;

for (const role of roles) {
  describeKernel(`a ${role} with one failing call`, () => {
    const cases = versions.flatMap((version) =>
      [...established, ...beginning, ...watching(role)].map((each) => ({ ...each, version })),
    );
    let ended: Ended;
    let results: (Outcome | undefined)[];

    beforeAll(async () => {
      ended = await runScript(body, {
        env: withFaults(),
        given: {
          bytes: BYTES,
          file: FILE,
          cases: cases.map((each) => given(role, each)),
        },
      });
      results = [...ended.stdout.matchAll(/^result (.*)$/gm)].map(
        ([, json]) => JSON.parse(json!) as Outcome,
      );
    }, scriptTimeout.testTimeout);

    for (const [index, { call, errno, file, version, outcome }] of cases.entries()) {
      const of = file === undefined ? '' : `, ${file} bytes`;
      it(`${call}: ${errno} (${version}${of})`, () => {
        const result = results[index];
        if (result === undefined) throw new Error(`it got no further: ${JSON.stringify(ended)}`);
        expect(result).toMatchObject(outcome);
        // An end that the peer may believe means that all of it has come.
        const promised = file ?? (call === 'recvmsg' ? 0 : BYTES);
        if (result.peer.closeNotify) expect(result.peer.received).toBe(promised);
      });
    }

    it('leaves nothing behind', () => {
      expect(ended).toMatchObject(clean);
    });
  });
}

function given(role: Role, { version, call, errno, file }: Case & { version: Version }): object {
  const early = [...beginning, ...watching(role)].some((each) => each.call === call);
  return { role, version, call, file, early, fault: fault(call, errno) };
}

/**
 * How a connection under kernel TLS ends: nothing that was written is lost, close_notify is the last
 * record and FIN follows it, whichever way the application closes and whatever the peer does meanwhile.
 */
import { once } from 'node:events';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { type OffloadedSocket, offload } from '../../lib/index.js';
import { ContentType } from '../../lib/tls/constants.js';
import { ecdsaCertificate } from '../support/certificates.js';
import {
  type AnySocket,
  type Side,
  connectPair,
  connectTo,
  listen,
} from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { RecordPeer, closeNotify, data } from '../support/record-peer.js';
import { Scratch } from '../support/scratch.js';
import {
  type Role,
  type Scripted,
  type Version,
  roles,
  scripted,
  versions,
} from '../support/scripted.js';
import { setTcpBuffers } from '../support/tcp-buffers.js';
import { TcpEnd } from '../support/tcp-state.js';
import { recordTypes, tap } from '../support/wire.js';
import { Witness } from '../support/witness.js';

interface Case extends Scripted {
  role: Role;
  version: Version;
}

let restore: (() => void) | null = null;
afterEach(() => {
  restore?.();
  restore = null;
});

/** As little as TCP goes on with: soon full. Where only root may say so, it just takes longer. */
const small = { wmem: '4096 16384 16384', rmem: '4096 8192 8192' };

/** One test for each role and version. */
function forEach(
  name: string,
  body: (scene: Case) => Promise<void>,
  options: { allowHalfOpen?: boolean; buffers?: typeof small } = {},
): void {
  for (const version of versions) {
    for (const role of roles) {
      it(`${name} (${version}, ${role})`, async () => {
        if (options.buffers !== undefined) restore = setTcpBuffers(options.buffers);
        await using scene = await scripted(role, version, options);
        await body({ ...scene, role, version });
      });
    }
  }
}

/** That all of it arrived, then close_notify as the last record, then FIN. */
async function expectAll(peer: RecordPeer, expected: string | Buffer): Promise<void> {
  expect(await peer.untilEnded()).toBe('fin');
  expect(peer.receivedData.equals(Buffer.from(expected))).toBe(true);
  expect(peer.receivedAlerts).toEqual([[1, 0]]);
  expect(peer.received.at(-1)!.type).toBe(ContentType.alert);
}

/** Writes until the kernel takes no more; the peer must have stopped reading. */
async function fill(socket: AnySocket): Promise<Buffer> {
  const chunk = Buffer.alloc(50_001, 'fill');
  const chunks: Buffer[] = [];
  const end = new TcpEnd(socket);
  do {
    chunks.push(chunk);
    socket.write(chunk);
    while (socket.writableLength > 0 && !(await end.isFull())) await sleep(1);
  } while (socket.writableLength === 0);
  return Buffer.concat(chunks);
}

describeKernel('an end', () => {
  forEach('without data is close_notify and FIN', async ({ peer, socket }) => {
    socket.end();
    await expectAll(peer, '');
  });

  forEach('with data sends the data first', async ({ peer, socket }) => {
    socket.write('first ');
    socket.end('and last');
    await expectAll(peer, 'first and last');
  });

  forEach('by destroySoon sends what was written', async ({ peer, socket }) => {
    const large = Buffer.alloc(300_000, 'large');
    socket.write(large);
    socket.destroySoon();
    await expectAll(peer, large);
    if (!socket.closed) await once(socket, 'close');
  });

  forEach('sends one close_notify, however often it is asked for', async ({ peer, socket }) => {
    socket.end('once');
    socket.end();
    socket.destroySoon();
    await expectAll(peer, 'once');
  });

  forEach(
    'waits for a peer that has stopped reading',
    async ({ peer, socket }) => {
      peer.socket.pause();
      const written = await fill(socket);
      const finished = once(socket, 'finish');
      socket.end('the end');
      await sleep(50);
      expect(socket.writableFinished).toBe(false);
      peer.socket.resume();
      await finished;
      await expectAll(peer, Buffer.concat([written, Buffer.from('the end')]));
    },
    { buffers: small },
  );

  forEach(
    'that waits for a peer is over when the peer resets',
    async ({ peer, socket }) => {
      const witness = new Witness(socket);
      peer.socket.pause();
      await fill(socket);
      socket.end();
      await sleep(20);
      peer.socket.resetAndDestroy();
      expect((await witness.until('close')).slice(-2)).toEqual(['error', 'close']);
      expect(witness.error!.code).toMatch(/^(ECONNRESET|EPIPE)$/);
    },
    { buffers: small },
  );
});

describeKernel('the last record on the wire', () => {
  for (const [server, client] of [
    ['ktls', 'node'],
    ['node', 'ktls'],
    ['ktls', 'ktls'],
  ] as [Side, Side][]) {
    it(`is an alert from either side (${server} server, ${client} client)`, async () => {
      // Only in TLS 1.2 does a record say what it is.
      const { listener, port } = await listen(server, { maxVersion: 'TLSv1.2' });
      const wire = await tap(port);
      listener.on('secureConnection', (socket) => socket.end('answer'));
      const peer = new Witness(connectTo(wire.port, client));
      expect(await peer.until('close')).toEqual(['answer', 'end', 'close']);
      listener.close();
      await once(listener, 'close');
      expect(recordTypes(wire.toClient).at(-1)).toBe(ContentType.alert);
      expect(recordTypes(wire.toServer).at(-1)).toBe(ContentType.alert);
      await wire.close();
    });
  }

  for (const version of versions) {
    it(`tells each of two sockets under kernel TLS of a clean end (${version})`, async () => {
      const limits = { minVersion: version, maxVersion: version };
      await using pair = await connectPair({ serverOptions: limits, clientOptions: limits });
      const [server, client] = [new Witness(pair.server), new Witness(pair.client)];
      pair.server.end('to the client');
      pair.client.end('to the server');
      expect(await client.until('close')).toEqual(['to the client', 'end', 'close']);
      expect(await server.until('close')).toEqual(['to the server', 'end', 'close']);
      expect(pair.server).toMatchObject({ closeNotifyReceived: true });
      expect(pair.client).toMatchObject({ closeNotifyReceived: true });
    });
  }
});

describeKernel('an HTTP response', () => {
  const bodies = { 'of a byte': Buffer.of(1), large: Buffer.alloc(400_000, 'body') };

  async function respond(
    version: Version,
    body: Buffer,
    buffers: boolean,
    request: string,
    chunked: boolean,
  ): Promise<RecordPeer> {
    if (buffers) restore = setTcpBuffers(small);
    const server = offload(
      https.createServer({ ...ecdsaCertificate(), maxVersion: version }, (_request, response) => {
        if (chunked) {
          response.write(body.subarray(0, body.length >> 1));
          response.end(body.subarray(body.length >> 1));
        } else {
          response.setHeader('content-length', body.length);
          response.end(body);
        }
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const peer = await RecordPeer.connect((server.address() as AddressInfo).port);
    peer.socket.pause();
    peer.send(data(request));
    await sleep(100);
    peer.socket.resume();
    expect(await peer.untilEnded()).toBe('fin');
    server.close();
    return peer;
  }

  for (const version of versions) {
    for (const [size, body] of Object.entries(bodies)) {
      for (const [kind, request, chunked] of [
        ['Connection: close', 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', false],
        [
          'Connection: close, chunked',
          'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
          true,
        ],
        ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', true],
      ] as const) {
        it(`${size} with ${kind} arrives whole, then close_notify (${version})`, async () => {
          await using peer = await respond(version, body, size === 'large', request, chunked);
          const received = peer.receivedData.toString('latin1');
          const [head, ...rest] = received.split('\r\n\r\n');
          expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
          if (kind === 'Connection: close, chunked') {
            expect(received.slice(-7)).toBe('\r\n0\r\n\r\n');
            expect(received.length).toBeGreaterThan(body.length);
          } else {
            expect(Buffer.from(rest.join('\r\n\r\n'), 'latin1').equals(body)).toBe(true);
          }
          expect(peer.receivedAlerts).toEqual([[1, 0]]);
          expect(peer.received.at(-1)!.type).toBe(ContentType.alert);
        });
      }
    }
  }
});

describeKernel('a half-open connection', () => {
  const large = Buffer.alloc(200_000, 'large');
  const halfOpen = { allowHalfOpen: true };

  forEach(
    'still sends after the peer has ended',
    async ({ peer, socket }) => {
      const witness = new Witness(socket);
      peer.send(closeNotify);
      peer.fin();
      await witness.until('end');
      socket.write(large);
      await sleep(20);
      socket.end('last');
      await expectAll(peer, Buffer.concat([large, Buffer.from('last')]));
      expect(await witness.until('close')).toEqual(['end', 'close']);
    },
    halfOpen,
  );

  forEach(
    'still receives after it has ended itself',
    async ({ peer, socket }) => {
      const witness = new Witness(socket);
      socket.end('first');
      await expectAll(peer, 'first');
      for (let offset = 0; offset < large.length; offset += 10_000) {
        peer.send(data(large.subarray(offset, offset + 10_000)));
      }
      peer.send(closeNotify);
      peer.fin();
      expect(await witness.until('close')).toEqual([large.toString(), 'end', 'close']);
    },
    halfOpen,
  );

  forEach('without allowHalfOpen still sends what was written', async ({ peer, socket }) => {
    peer.socket.pause();
    socket.write(large);
    socket.write('last');
    socket.resume();
    peer.send(closeNotify);
    await once(socket, 'end');
    peer.socket.resume();
    await expectAll(peer, Buffer.concat([large, Buffer.from('last')]));
  });

  forEach(
    'is over when the peer resets while it waits to end',
    async ({ peer, socket }) => {
      const witness = new Witness(socket);
      peer.send(closeNotify);
      await witness.until('end');
      peer.socket.pause();
      await fill(socket);
      socket.end();
      await sleep(20);
      peer.socket.resetAndDestroy();
      expect(await witness.until('close')).toEqual(['end', 'error', 'close']);
    },
    { ...halfOpen, buffers: small },
  );

  for (const version of versions) {
    it(`is over when the peer has closed in the middle of a file (${version}, 10 times)`, async () => {
      const scratch = new Scratch();
      const file = scratch.write('file', Buffer.alloc(2 ** 20));
      const limits = { minVersion: version, maxVersion: version };
      for (let i = 0; i < 10; i++) {
        await using pair = await connectPair({ serverOptions: limits, clientOptions: limits });
        const { server, client } = pair;
        const witness = new Witness(server);
        const sent = (server as OffloadedSocket).sendFile(file);
        sent.then(
          () => server.end(),
          () => undefined,
        );
        await once(client, 'data');
        // First its FIN, since it has read all there is, and then a reset for whatever else comes.
        client.destroy();
        await witness.until('close');
        expect(witness.error).not.toBeNull();
      }
      scratch.remove();
    });
  }
});

/** An end that comes in one piece with the data before it. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { connectTo, readAll } from '../support/connection.js';
import { rawRequest, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { closeNotify, data } from '../support/record-peer.js';
import { roles, scripted, versions } from '../support/scripted.js';

const handlers = {
  'behind a promise': async (_request: IncomingMessage, response: ServerResponse) => {
    await Promise.resolve();
    await Promise.resolve();
    response.end('answer');
  },
  'behind the body': (request: IncomingMessage, response: ServerResponse) => {
    request.resume().on('end', () => response.end('answer'));
  },
};

describeKernel('a request with the end of its connection right behind it', () => {
  describe.each([
    ['under kernel TLS', {}, true],
    ['carried by node:tls', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }, false],
  ] as const)('%s', (_name, options, offloaded) => {
    it.each(Object.entries(handlers))('is answered %s (10 times)', async (_when, handler) => {
      await using serving = await serve((request, response) => void handler(request, response), {
        options,
      });
      for (let i = 0; i < 10; i++) {
        // Missing in the types, but passed on to the stream.
        const half = { allowHalfOpen: true } as object;
        const client = connectTo(serving.port, 'node', half);
        await once(client, 'secureConnect');
        client.end(rawRequest('GET /', 'Connection: close'));
        expect((await readAll(client)).toString()).toMatch(/\r\n\r\nanswer$/);
        expect(serving.accepted.at(-1)).toMatchObject({ offload: { offloaded } });
      }
    });
  });
});

describeKernel('a close_notify without FIN behind records that a reader took in part', () => {
  for (const version of versions) {
    for (const role of roles) {
      // Four of 16,000 and a part of the fifth are what is asked for at once.
      it.each([5, 9])(`is the end, %i records (${version}, ${role})`, async (count) => {
        await using scene = await scripted(role, version, { allowHalfOpen: true });
        const { socket, peer } = scene;
        let bytes = 0;
        socket.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          socket.pause();
          // The kernel tells of the record behind the data meanwhile.
          void sleep(20).then(() => socket.resume());
        });
        socket.pause();
        const ended = once(socket, 'end');
        peer.send(...Array.from({ length: count }, () => data(Buffer.alloc(16_000))), closeNotify);
        await sleep(100);
        socket.resume();
        await ended;
        expect(bytes).toBe(count * 16_000);
      });
    }
  }
});

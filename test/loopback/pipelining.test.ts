/** Requests behind a file that its client does not take: they are not read without end. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as http from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import * as tls from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { sendFile } from '../../lib/index.js';
import { serve } from '../support/https.js';
import { type Tally, counted, flood, handlers } from '../support/pipelining.js';
import { Scratch } from '../support/scratch.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

async function floodPlain(handler: http.RequestListener, release?: () => void): Promise<void> {
  const tally: Tally = { asked: 0, answered: 0 };
  const server = http.createServer(counted(handler, tally));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await flood(connect((server.address() as AddressInfo).port, '127.0.0.1'), tally, release);
  server.close();
}

for (const [name, handlerOf] of Object.entries(handlers)) {
  describe(`${name}, to a client that pipelines and reads nothing`, () => {
    it('over plain HTTP', { timeout: 20_000 }, () => floodPlain(handlerOf(scratch)));

    it('over node:tls', { timeout: 20_000 }, async () => {
      const tally: Tally = { asked: 0, answered: 0 };
      await using serving = await serve(counted(handlerOf(scratch), tally), { side: 'node' });
      const client = tls.connect({ port: serving.port, rejectUnauthorized: false });
      await once(client, 'secureConnect');
      await flood(client, tally);
      expect(serving.accepted).toHaveLength(1);
    });
  });
}

it('counts a file from before it is opened', { timeout: 20_000 }, async () => {
  // Every thread of the pool waits for who writes into a FIFO.
  const fifo = scratch.path('fifo');
  execFileSync('mkfifo', [fifo]);
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  for (let i = 0; i < threads; i++) fs.open(fifo, 'r', (_, fd) => fs.closeSync(fd));
  const release = (): void => fs.closeSync(fs.openSync(fifo, 'r+'));
  await floodPlain(handlers['sendFile']!(scratch), release).finally(release);
});

it('goes on with a connection of node:tls that was full when it asked for a file', async () => {
  const tally: Tally = { asked: 0, answered: 0 };
  const file = scratch.write('small', 'small');
  const listener = counted((request, response) => {
    if (request.url === '/file') void sendFile(response, file).then(() => response.end());
    else response.end(request.url === '/full' ? Buffer.alloc(4 * 2 ** 20) : '');
  }, tally);
  await using serving = await serve(listener, { side: 'node' });
  const client = tls.connect({ port: serving.port, rejectUnauthorized: false });
  await once(client, 'secureConnect');
  client.pause();
  for (const [at, path] of ['/full', '/file'].entries()) {
    client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await expect.poll(() => tally.asked).toBe(at + 1);
  }
  client.resume();
  await expect.poll(() => tally.answered).toBe(2);
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await expect.poll(() => tally.answered).toBe(3);
  client.destroy();
});

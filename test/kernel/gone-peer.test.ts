/**
 * A peer that says FIN and is gone, so that it answers with a reset what is still sent to it: a sender hears of
 * that while it sends, and not when the kernel has taken all.
 */
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import type { Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, it } from 'vitest';
import * as http2 from '../../lib/http2.js';
import type { OffloadedSocket } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type Pair, connectPair } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { openFiles } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { versions } from '../support/scripted.js';

/** Many times what the buffers of both ends hold. */
const MOST = 64 * 2 ** 20;
const ENDINGS = ['EPIPE', 'ECONNRESET'];

async function pairOf(version: (typeof versions)[number]): Promise<[Pair, OffloadedSocket]> {
  const options = { minVersion: version, maxVersion: version };
  const pair = await connectPair({ serverOptions: options, clientOptions: options });
  const server = pair.server as OffloadedSocket;
  server.allowHalfOpen = true;
  server.resume();
  return [pair, server];
}

/** Ours leaves nothing unread when it closes, which would be a reset at once. */
async function leave({ client }: Pair): Promise<void> {
  await once(client, 'readable');
  client.destroy();
}

describeKernel('a peer that is gone', () => {
  const scratch = new Scratch();
  const file = scratch.write('file', '');
  truncateSync(file, 2 ** 31);
  afterAll(() => scratch.remove());

  for (const version of versions) {
    it(`ends a file that is sent to it (${version})`, async () => {
      const [pair, server] = await pairOf(version);
      await using _ = pair;
      server.on('error', () => undefined);
      const sent = server.sendFile(file).then(
        () => undefined,
        (error: unknown) => (error as NodeJS.ErrnoException).code,
      );
      await leave(pair);
      expect(ENDINGS).toContain(await sent);
      expect(server.bytesWritten).toBeLessThan(MOST);
      await expect.poll(() => openFiles(file)).toBe(0);
    });

    it(`ends what is written to it (${version})`, async () => {
      const [pair, server] = await pairOf(version);
      await using _ = pair;
      const failed = new Promise<string | undefined>((resolve) => {
        server.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
      });
      const piece = Buffer.alloc(64 * 1024);
      const write = (): void => {
        if (server.bytesWritten > 2 * MOST) server.destroy(new Error('all is taken'));
        while (!server.destroyed && server.write(piece));
      };
      server.on('drain', write);
      write();
      await leave(pair);
      expect(ENDINGS).toContain(await failed);
      expect(server.bytesWritten).toBeLessThan(MOST);
    });
  }

  it('ends an http2 session', async () => {
    const accepted: OffloadedSocket[] = [];
    const server: Http2SecureServer = http2.createSecureServer(ecdsaCertificate());
    // As wide as flow control lets it be, so that TCP alone is what stops it.
    const settings = { initialWindowSize: 2 ** 31 - 1 };
    const over = new Promise<number>((resolve) => {
      server.on('session', (session) => {
        session.on('error', () => undefined);
        session.on('close', () => resolve(accepted[0]!.bytesWritten));
        session.on('stream', (stream) => {
          const socket = accepted[0]!;
          const piece = Buffer.alloc(64 * 1024);
          const write = (): void => {
            if (socket.bytesWritten > 2 * MOST) session.destroy();
            while (!stream.destroyed && stream.write(piece));
          };
          stream.on('error', () => undefined);
          stream.on('drain', write);
          stream.respond();
          write();
        });
      });
    });
    server.on('secureConnection', (socket) => accepted.push(socket as OffloadedSocket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = http2.connect(`https://127.0.0.1:${port}`, {
      rejectUnauthorized: false,
      settings,
    });
    client.on('error', () => undefined);
    await once(client, 'connect');
    client.setLocalWindowSize(settings.initialWindowSize);
    const stream = client.request();
    stream.on('error', () => undefined);
    await once(stream, 'readable');
    client.destroy();
    expect(await over).toBeLessThan(MOST);
    expect(accepted[0]!.offload.offloaded).toBe(true);
    server.close();
    await once(server, 'close');
  });
});

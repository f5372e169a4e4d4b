/**
 * A peer whose process is stopped (SIGSTOP) in the middle of a transfer: what waits for it holds back what
 * is written and nothing else, and when it goes on it gets the rest, to the last byte and close_notify.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { OffloadedSocket } from '../../lib/index.js';
import { connectPair, digest, exchange, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { Scratch } from '../support/scratch.js';
import { clean, scriptTimeout, startScript } from '../support/script.js';
import { versions } from '../support/scripted.js';

vi.setConfig(scriptTimeout);

/** More than both buffers of a loopback connection hold. */
const AMOUNT = 24 * 2 ** 20;

const scratch = new Scratch();
const content = randomBytes(AMOUNT);
let file = '';
beforeAll(() => (file = scratch.write('file', content)));
afterAll(() => scratch.remove());

const ways: Readonly<Record<string, (socket: OffloadedSocket) => void>> = {
  write: (socket) => socket.end(content),
  sendFile: (socket) => void socket.sendFile(file).then(() => socket.end()),
};

const reader = `
  const { createHash } = await import('node:crypto');
  const socket = connect(given.port, given.limits);
  const hash = createHash('sha256');
  let received = 0;
  socket.on('data', (chunk) => {
    hash.update(chunk);
    if (received === 0) say('begun');
    received += chunk.length;
  });
  await once(socket, 'end');
  say('ended', hash.digest('hex'), socket.closeNotifyReceived);
`;

describeKernel('a peer that is stopped', () => {
  for (const version of versions) {
    for (const [way, send] of Object.entries(ways)) {
      it(`in the middle of a ${way} gets the rest when it goes on (${version})`, async () => {
        const limits = { minVersion: version, maxVersion: version };
        const { listener, port } = await listen('ktls', limits);
        const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
        const script = startScript(reader, { given: { port, limits } });
        const [server] = await accepted;
        const socket = server as unknown as OffloadedSocket;
        send(socket);
        await script.said('begun');
        script.process.kill('SIGSTOP');

        // The rest of the process goes on meanwhile, other connections too.
        await using other = await connectPair();
        expect(await exchange(other, 200_000)).toBe(true);
        expect(socket.writableFinished).toBe(false);
        expect(socket.destroyed).toBe(false);

        script.process.kill('SIGCONT');
        expect(await script.said('ended')).toBe(`${digest(content)} true`);
        expect(await script.ended).toMatchObject(clean);
        if (!socket.closed) await once(socket, 'close');
        listener.close();
        await once(listener, 'close');
      });
    }
  }

  it('and then killed ends the connection with an error', async () => {
    const { listener, port } = await listen('ktls');
    const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
    const script = startScript(reader, { given: { port, limits: {} } });
    const [socket] = await accepted;
    socket.end(content);
    await script.said('begun');
    script.process.kill('SIGSTOP');
    script.process.kill('SIGKILL');
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(['ECONNRESET', 'EPIPE']).toContain(error.code);
    if (!socket.closed) await once(socket, 'close');
    listener.close();
    await once(listener, 'close');
  });
});

/** Where the addon is not there, everything is node:tls's, and files go out all the same. */
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, expect, it, vi } from 'vitest';
import { type UserSpaceSocket, sendFile } from '../../lib/index.js';
import { connectPair } from '../support/connection.js';
import { Scratch } from '../support/scratch.js';

vi.mock('../../lib/kernel/binding.js', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../lib/kernel/binding.js')>()),
  loadBinding: () => new Error('it was never built'),
}));

const scratch = new Scratch();
afterAll(() => scratch.remove());
const file = scratch.write('file', 'the file');

async function sendBetween(socket: Socket, peer: Socket): Promise<void> {
  const received = text(peer);
  socket.write('before ');
  const sent = sendFile(socket, file);
  socket.write(' between ');
  void sendFile(socket, file, { start: 4 });
  socket.end(' after');
  expect(await received).toBe('before the file between file after');
  expect(await sent).toBe(8);
}

it('a plain socket sends files between its writes', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  await sendBetween(socket, peer);
});

it('a TLS socket says why it is not offloaded, and sends files between its writes', async () => {
  await using pair = await connectPair();
  const socket = pair.server as UserSpaceSocket;
  expect(socket.offload.reason).toBe('ERR_KTLS_NO_ADDON');
  await sendBetween(socket, pair.client);
});

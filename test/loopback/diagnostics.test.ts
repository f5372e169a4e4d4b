/** The channels of node:diagnostics_channel, as far as any kernel has something to say on them. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as ktls from '../../lib/index.js';

interface Message {
  socket: unknown;
  reason?: Error;
  error?: Error;
}
const names = ['ktls:error', 'ktls:refusal', 'ktls:offload'];
let messages: [string, Message][] = [];
const note = (message: unknown, name: string | symbol): void => {
  messages.push([String(name), message as Message]);
};
beforeEach(() => {
  messages = [];
  for (const name of names) subscribe(name, note);
});
afterEach(() => {
  for (const name of names) unsubscribe(name, note);
});

const path = '/no/such/socket';

it("ktls:error tells of a connection that had to be offloaded, before 'error' does", async () => {
  const socket = ktls.connect({ path, mode: 'require' });
  let told: Message | undefined;
  socket.on('error', () => (told = messages[0]?.[1]));
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error).toMatchObject({ code: 'ERR_KTLS_NOT_TCP' });
  expect(messages).toEqual([['ktls:error', { socket, error }]]);
  expect(told?.error).toBe(error);
  expect(told?.socket).toBe(socket);
});

it('ktls:refusal tells of one that node:tls carries, whose errors are its own', async () => {
  const socket = ktls.connect({ path });
  await once(socket, 'error');
  expect(messages.map(([name]) => name)).toEqual(['ktls:refusal']);
  const [[, { reason, socket: refused }]] = messages as [[string, Message]];
  expect(reason).toMatchObject({ code: 'ERR_KTLS_NOT_TCP' });
  expect(refused).toBe(socket);
});

it('nothing is told of what is destroyed without an error', async () => {
  const socket = ktls.connect({ path, mode: 'require' });
  socket.destroy();
  await once(socket, 'close');
  expect(messages).toEqual([]);
});

/**
 * Clients that connect, say nothing or half of something, and stay: `handshakeTimeout` ends each of them,
 * they cost a bounded amount of memory while they last and none afterwards, and who means it is served.
 * The server is one of node:https, which destroys what times out; node:tls only emits 'tlsClientError'.
 */
import { expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { clean, startScript } from '../support/script.js';

const DEADLINE = 300_000;

vi.setConfig({ testTimeout: DEADLINE + 20_000 });

const CLIENTS = 2000;
/** In milliseconds. */
const HANDSHAKE_TIMEOUT = 40_000;
/** In bytes for each client: a handshake's state and its buffers, and what the allocators keep besides. */
const MOST_EACH = { heap: 50 * 1024, resident: 200 * 1024 };

const stalling = `
  // A real ClientHello, of which a third of the clients send all.
  const mute = net.createServer();
  const port = await listening(mute);
  const hello = new Promise((resolve) => mute.once('connection', (socket) => socket.once('data', resolve)));
  const real = connect(port, {}, tls.connect);
  real.on('error', () => undefined);
  const bytes = await hello;
  real.destroy();
  mute.close();
  let open = 0;
  for (let i = 0; i < given.clients; i++) {
    const socket = net.connect(given.port, '127.0.0.1');
    await once(socket, 'connect');
    open++;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (--open === 0) say('closed');
    });
    socket.resume();
    if (i % 3 !== 0) socket.write(i % 3 === 1 ? bytes : bytes.subarray(0, bytes.length / 2));
  }
  say('stalled');
`;

const serving = `
  import https from 'node:https';
  const listener = ktls.offload(https.createServer({ ...certificate, handshakeTimeout: given.timeout }));
  const errors = {};
  let accepted = 0;
  listener.on('connection', () => accepted++);
  listener.on('tlsClientError', ({ code }) => (errors[code] = (errors[code] ?? 0) + 1));
  listener.on('secureConnection', (socket) => socket.end('served'));
  const memory = async () => {
    for (let i = 0; i < 3; i++) {
      await delay(20);
      gc();
    }
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heap: heapUsed + external, rss };
  };
  const connections = () => new Promise((resolve) => listener.getConnections((_, n) => resolve(n)));
  const serve = async () => {
    const client = connect(port, {}, tls.connect);
    let received = '';
    client.on('data', (data) => (received += data));
    await once(client, 'close');
    return received;
  };
  // With less the kernel would let some clients believe that they are connected, and forget them.
  listener.listen({ port: 0, host: '127.0.0.1', backlog: given.clients });
  await once(listener, 'listening');
  const { port } = listener.address();
  await serve();
  // The client's end of it is closed.
  while ((await connections()) > 0) await delay(20);
  accepted = 0;
  const before = { sockets: sockets(), ...(await memory()) };
  say('port', port);
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    // Some are in the backlog when their clients have long been connected.
    while (accepted < given.clients) await delay(20);
    const told = { count: await connections(), errors: { ...errors } };
    const { heap, rss } = await memory();
    const state = { ...told, heap: heap - before.heap, rss: rss - before.rss };
    const rest = { left: sockets() - before.sockets, inKernel: keys(), served: await serve() };
    say('state', JSON.stringify({ ...state, ...rest }));
  }
  listener.close();
`;

interface State {
  readonly count: number;
  readonly heap: number;
  readonly rss: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly left: number;
  readonly inKernel: number;
  readonly served: string;
}

describeKernel(`${CLIENTS} clients that stall in the handshake`, () => {
  it('are ended by handshakeTimeout, and leave nothing', async () => {
    const server = startScript(serving, {
      given: { timeout: HANDSHAKE_TIMEOUT, clients: CLIENTS },
      nodeArguments: ['--expose-gc'],
      deadline: DEADLINE,
    });
    const ask = async (): Promise<State> => {
      server.tell('how are you?');
      return JSON.parse(await server.said('state')) as State;
    };
    const port = await server.said('port');
    const clients = startScript(stalling, {
      given: { port: Number(port), clients: CLIENTS },
      deadline: DEADLINE,
    });
    await clients.said('stalled');

    const stalled = await ask();
    // On a slow machine some have been ended by the time the last one comes, and one that is told of as ended
    // counts until it is closed.
    const { ERR_TLS_HANDSHAKE_TIMEOUT: over = 0 } = stalled.errors;
    expect(stalled.count).toBeLessThanOrEqual(CLIENTS);
    expect(stalled.count + over).toBeGreaterThanOrEqual(CLIENTS);
    expect(stalled.served).toBe('served');
    expect(stalled.heap / CLIENTS).toBeLessThan(MOST_EACH.heap);
    expect(stalled.rss / CLIENTS).toBeLessThan(MOST_EACH.resident);

    await clients.said('closed');
    expect(await clients.ended).toMatchObject(clean);
    const after = await ask();
    expect(after).toMatchObject({
      count: 0,
      errors: { ERR_TLS_HANDSHAKE_TIMEOUT: CLIENTS },
      left: 0,
      inKernel: 0,
      served: 'served',
    });
    // What is left of so many is less than one in a hundred of them would be.
    expect(after.heap).toBeLessThan(stalled.heap / 10);
    expect(await server.finish()).toMatchObject(clean);
    const [heap, rss] = [stalled.heap, stalled.rss].map((bytes) => Math.round(bytes / CLIENTS));
    console.log(`${stalled.count} at once: ${heap} bytes of heap each, ${rss} resident`);
  });
});

/** `ktls/https` where its agent's own work is concerned, whoever carries the connections. */
import { once } from 'node:events';
import * as nodeHttps from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as https from '../../lib/https.js';
import { ecdsaCertificate } from '../support/certificates.js';

const insecure = { host: '127.0.0.1', rejectUnauthorized: false };
let server: nodeHttps.Server;
let port: number;
let reused: boolean[];

beforeEach(async () => {
  reused = [];
  server = https.createServer(ecdsaCertificate(), (message, response) => {
    response.end(`you asked for ${message.url ?? ''}`);
  });
  server.on('secureConnection', (socket: TLSSocket) => reused.push(socket.isSessionReused()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
  https.globalAgent.destroy();
});

async function body(outgoing: ReturnType<typeof https.get>): Promise<string> {
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of message) text += String(chunk);
  return text;
}

async function ask(agent: nodeHttps.Agent): Promise<void> {
  const outgoing = https.get({ ...insecure, port, agent });
  await body(outgoing);
  if (!outgoing.socket!.destroyed) await once(outgoing.socket!, 'close');
}

describe('request and get', () => {
  const callback = (message: IncomingMessage): unknown => message.statusCode;
  it.each([
    ['(options)', () => https.get({ ...insecure, port, path: '/x' })],
    ['(options, callback)', () => https.get({ ...insecure, port, path: '/x' }, callback)],
    ['(url, options)', () => https.get(`https://127.0.0.1:${port}/x`, insecure)],
    [
      '(URL, options, callback)',
      () => https.get(new URL(`https://127.0.0.1:${port}/x`), insecure, callback),
    ],
    [
      '(URL of another library, options)',
      () => {
        // With its properties on its prototype, and none of its own.
        const url = Object.create({
          href: `https://127.0.0.1:${port}/x`,
          protocol: 'https:',
          hostname: '127.0.0.1',
          port: String(port),
          pathname: '/x',
        }) as URL;
        return https.get(url, insecure);
      },
    ],
  ])('take %s', async (_signature, get) => {
    expect(await body(get())).toBe('you asked for /x');
  });

  it('share the connections of globalAgent', async () => {
    for (const path of ['/1', '/2', '/3']) {
      expect(await body(https.get({ ...insecure, port, path }))).toBe(`you asked for ${path}`);
    }
    expect(reused).toHaveLength(1);
  });

  it.each([
    ['agent: false', { agent: false as const }],
    ['an agent of their own', { agent: new https.Agent() }],
  ])('leave it alone with %s', async (_name, options) => {
    for (const path of ['/1', '/2']) {
      await body(https.get({ ...insecure, ...options, port, path }));
    }
    expect(reused).toHaveLength(2);
  });

  it('report a connection that fails', async () => {
    const outgoing = https.get({ host: '127.0.0.1', port, path: '/' });
    await expect(once(outgoing, 'response')).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });
});

describe("the agent's cache of sessions", () => {
  // node:tls's own sockets give sessions on every host.
  const mode = 'off';

  it('makes a second connection resume the first', async () => {
    const agent = new https.Agent({ mode });
    await ask(agent);
    await ask(agent);
    expect(reused).toEqual([false, true]);
  });

  it('can be switched off', async () => {
    const agent = new https.Agent({ mode, maxCachedSessions: 0 });
    await ask(agent);
    await ask(agent);
    expect(reused).toEqual([false, false]);
  });

  it('forgets the oldest when it is full', async () => {
    const agent = new https.Agent({ mode, maxCachedSessions: 1 });
    const other = { ...insecure, port, agent, servername: 'other.example' };
    await ask(agent);
    const outgoing = https.get(other);
    await body(outgoing);
    if (!outgoing.socket!.destroyed) await once(outgoing.socket!, 'close');
    await ask(agent);
    expect(reused).toEqual([false, false, false]);
  });

  it("gives 'keylog' to the agent's listeners", async () => {
    const agent = new https.Agent({ mode });
    const lines: string[] = [];
    agent.on('keylog', (line: Buffer) => lines.push(line.toString()));
    await ask(agent);
    expect(lines.join('')).toMatch(/^CLIENT_TRAFFIC_SECRET_0 /m);
  });
});

it('rejects a wrong mode', () => {
  const mode = 'always' as 'prefer';
  const code = 'ERR_INVALID_ARG_VALUE';
  expect(() => https.createServer({ mode })).toThrow(expect.objectContaining({ code }));
  expect(() => new https.Agent({ mode })).toThrow(expect.objectContaining({ code }));
});

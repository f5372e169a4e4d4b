/** Requests by way of a proxy: the agent of `ktls/https` does what Node's does, and never goes past it. */
import { once } from 'node:events';
import * as http from 'node:http';
import * as nodeHttps from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as https from '../../lib/https.js';
import type { ClientSocket } from '../../lib/index.js';
import type { Proxy } from '../../lib/node-private.js';
import { openTunnel } from '../../lib/proxy-tunnel.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { type Answer, type TestProxy, startProxy } from '../support/proxy.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript } from '../support/script.js';

const insecure = { host: '127.0.0.1', rejectUnauthorized: false };
let server: nodeHttps.Server;
let port: number;
/** Where the server's connections come from. */
let clients: (number | undefined)[];

beforeEach(async () => {
  clients = [];
  server = nodeHttps.createServer(ecdsaCertificate(), (message, response) => {
    response.end(`you asked for ${message.url ?? ''}`);
  });
  server.on('connection', (socket: TLSSocket) => clients.push(socket.remotePort));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  vi.restoreAllMocks();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

const refusing: Answer = (socket) => socket.end('HTTP/1.1 403 Not here\r\n\r\n');
const hangingUp: Answer = (socket) => socket.end();
const silent: Answer = () => undefined;

describe('a tunnel', () => {
  const through = ({ url, port }: TestProxy, auth?: string): Proxy => ({
    href: url,
    protocol: 'http:',
    auth,
    proxyConnectionOptions: { host: '127.0.0.1', port },
    shouldUseProxy: () => true,
  });
  const open = (proxy: Proxy, options = {}): Promise<Duplex> =>
    new Promise((resolve, reject) => {
      const target = { host: '127.0.0.1', port, keepAlive: false, timeout: 0, ...options };
      openTunnel(proxy, target, (error, socket) => (error ? reject(error) : resolve(socket!)));
    });

  it.each([
    ['127.0.0.1', (port: number) => `127.0.0.1:${port}`],
    ['::1', (port: number) => `[::1]:${port}`],
  ])('is asked for by the name of its end: %s', async (host, target) => {
    await using proxy = await startProxy(refusing);
    await expect(open(through(proxy), { host })).rejects.toMatchObject({ statusCode: 403 });
    expect(proxy.connects.map((each) => each.target)).toEqual([target(port)]);
    expect(proxy.connects[0]!.headers.host).toBe(target(port));
  });

  it('shows the credentials that it was given', async () => {
    await using proxy = await startProxy();
    (await open(through(proxy, 'Basic dXNlcjpzZWNyZXQ='))).destroy();
    expect(proxy.connects[0]!.headers['proxy-authorization']).toBe('Basic dXNlcjpzZWNyZXQ=');
  });

  it('fails as the connection to the proxy does', async () => {
    const proxy = await startProxy();
    await proxy[Symbol.asyncDispose]();
    await expect(open(through(proxy))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('keeps what the proxy has sent too early', async () => {
    await using proxy = await startProxy((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nearly'));
    const socket = await open(through(proxy));
    expect(String(socket.read())).toBe('early');
    socket.destroy();
  });
});

/** Since Node 24.5 and 22.21. */
if (process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
  type AgentClass = new (options: object) => nodeHttps.Agent;

  /** What a request comes to, by whichever agent. */
  async function request(agent: nodeHttps.Agent, options = {}): Promise<unknown> {
    const outgoing = nodeHttps.get({ ...insecure, port, path: '/x', agent, ...options });
    const errors: unknown[] = [];
    outgoing.on('timeout', () => errors.push('timeout'));
    outgoing.on('error', (error: object) => {
      const { code, message, statusCode, proxyTunnelTimeout } = error as Record<string, unknown>;
      errors.push({ code, message, statusCode, proxyTunnelTimeout });
    });
    let body = '';
    outgoing.on('response', (message) => message.on('data', (data) => (body += String(data))));
    await new Promise((resolve) => outgoing.on('close', resolve));
    return { errors, body };
  }

  const answered = { errors: [], body: 'you asked for /x' };

  describe('an agent with proxyEnv', () => {
    it('reaches the host through the proxy, and not otherwise', async () => {
      await using proxy = await startProxy();
      const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: proxy.url } } as object);
      expect(await request(agent)).toEqual(answered);
      expect(proxy.connects).toHaveLength(1);
      expect(clients).toEqual(proxy.outgoing);
    });

    it('sends CONNECT as that of Node does', async () => {
      await using proxy = await startProxy();
      const url = proxy.url.replace('//', '//user:p%40ss@');
      for (const options of [{ keepAlive: true }, { maxSockets: 2 }, {}]) {
        for (const Agent of [nodeHttps.Agent, https.Agent] as AgentClass[]) {
          const agent = new Agent({ ...options, proxyEnv: { HTTPS_PROXY: url } });
          expect(await request(agent)).toEqual(answered);
          agent.destroy();
        }
      }
      const said = proxy.connects.map(({ target, headers }) => {
        // It goes on either way.
        expect(headers.connection ?? 'keep-alive').toBe('keep-alive');
        return { target, headers: { ...headers, connection: undefined } };
      });
      expect(said[1]).toEqual(said[0]);
      expect(said[3]).toEqual(said[2]);
      expect(said[5]).toEqual(said[4]);
      expect(said[0]!.headers['proxy-authorization']).toMatch(/^Basic /);
    });

    it('goes straight to what NO_PROXY names', async () => {
      await using proxy = await startProxy();
      const proxyEnv = { HTTPS_PROXY: proxy.url, NO_PROXY: '127.0.0.1' };
      expect(await request(new https.Agent({ proxyEnv } as object))).toEqual(answered);
      expect([proxy.connects.length, clients.length]).toEqual([0, 1]);
    });

    it('keeps a tunnel for the next request', async () => {
      await using proxy = await startProxy();
      const options = { keepAlive: true, proxyEnv: { HTTPS_PROXY: proxy.url } };
      const agent = new https.Agent(options);
      expect(await request(agent)).toEqual(answered);
      expect(await request(agent)).toEqual(answered);
      expect(proxy.connects).toHaveLength(1);
      agent.destroy();
    });

    it('says of a tunnel why it is not offloaded, or that it is', async () => {
      await using proxy = await startProxy();
      const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: proxy.url } } as object);
      const outgoing = nodeHttps.get({ ...insecure, port, agent });
      const [message] = (await once(outgoing, 'response')) as [http.IncomingMessage];
      const { offload } = message.socket as unknown as ClientSocket;
      expect(offload.offloaded).toBe(offload.reason === null);
      message.resume();
      await once(message, 'end');
    });

    it.each([
      ['refuses', refusing, {}],
      ['hangs up', hangingUp, {}],
      ['says nothing', silent, { timeout: 200 }],
    ])('fails as that of Node does when the proxy %s', async (_what, answer, options) => {
      await using proxy = await startProxy(answer);
      const outcomes = [];
      for (const Agent of [nodeHttps.Agent, https.Agent] as AgentClass[]) {
        const agent = new Agent({ proxyEnv: { HTTPS_PROXY: proxy.url } });
        outcomes.push(await request(agent, options));
      }
      expect(outcomes[1]).toEqual(outcomes[0]);
      expect(clients).toEqual([]);
    });

    it('leaves it to Node where it cannot see what Node has made of it', async () => {
      await using proxy = await startProxy();
      const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: proxy.url } } as object);
      const symbol = Object.getOwnPropertySymbols(agent).find(
        ({ description }) => description === 'kProxyConfig',
      )!;
      // As if it had another name.
      Reflect.deleteProperty(agent, symbol);
      const nodes = vi.spyOn(nodeHttps.Agent.prototype, 'createConnection');
      expect(await request(agent)).toEqual(answered);
      expect(nodes).toHaveBeenCalledOnce();
    });
  });

  describe('the global agent', () => {
    const { setGlobalProxyFromEnv } = http as unknown as {
      setGlobalProxyFromEnv?: (env: object) => () => void;
    };
    if (setGlobalProxyFromEnv !== undefined) {
      it('follows http.setGlobalProxyFromEnv', async () => {
        await using proxy = await startProxy();
        const restore = setGlobalProxyFromEnv({ https_proxy: proxy.url });
        expect(await request(https.globalAgent)).toEqual(answered);
        restore();
        https.globalAgent.destroy();
        expect(await request(https.globalAgent)).toEqual(answered);
        https.globalAgent.destroy();
        expect([proxy.connects.length, clients.length]).toEqual([1, 2]);
      });
    }

    it.each(['ktls/https', 'node:https'])('of %s uses NODE_USE_ENV_PROXY', async (module) => {
      await using proxy = await startProxy();
      const body = `
        const https = (await import(given.module)).default;
        https.get(given.options, (message) => message.on('data', (data) => say(String(data))));
      `;
      const ended = await runScript(body, {
        given: { module, options: { ...insecure, port, path: '/x' } },
        env: { NODE_USE_ENV_PROXY: '1', HTTPS_PROXY: proxy.url },
        nodeArguments: ['--no-warnings'],
      });
      expect(ended).toMatchObject({ ...clean, stdout: 'you asked for /x\n' });
      expect(clients).toEqual(proxy.outgoing);
    });
  });

  describe('a proxy that is spoken to within TLS', () => {
    const scratch = new Scratch();
    afterAll(() => scratch.remove());

    it.each([
      ['prefer', 'ERR_KTLS_NOT_TCP you asked for /x'],
      ['require', 'ERR_KTLS_NOT_TCP'],
    ])("leaves the connection to node:tls (mode '%s')", async (mode, said) => {
      await using proxy = await startProxy(undefined, true);
      const ca = scratch.write('ca.pem', ecdsaCertificate().cert);
      const body = `
        const https = (await import('ktls/https')).default;
        const agent = new https.Agent({ mode: given.mode, proxyEnv: { HTTPS_PROXY: given.url } });
        const outgoing = https.get({ ...given.options, agent }, (message) => {
          const { reason } = message.socket.offload;
          message.on('data', (data) => say(reason, String(data)));
        });
        outgoing.on('error', ({ code }) => say(code));
      `;
      const ended = await runScript(body, {
        given: { mode, url: proxy.url, options: { ...insecure, port, path: '/x' } },
        env: { NODE_EXTRA_CA_CERTS: ca },
        nodeArguments: ['--no-warnings'],
      });
      expect(ended).toMatchObject({ ...clean, stdout: said + '\n' });
      expect(clients).toEqual(proxy.outgoing);
    });
  });
}

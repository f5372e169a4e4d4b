/** What comes through the tunnel of an HTTP proxy is a TCP connection like any other. */
import { once } from 'node:events';
import * as http from 'node:http';
import { expect, it } from 'vitest';
import * as https from '../../lib/https.js';
import * as ktls from '../../lib/index.js';
import { openTunnel } from '../../lib/proxy-tunnel.js';
import { isOffloaded } from '../support/connection.js';
import { serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { startProxy } from '../support/proxy.js';

describeKernel('a tunnel', () => {
  it('is offloaded', async () => {
    await using serving = await serve((_, response) => response.end('served'));
    await using proxy = await startProxy();
    const through = {
      href: proxy.url,
      protocol: 'http:',
      proxyConnectionOptions: { host: '127.0.0.1', port: proxy.port },
      shouldUseProxy: () => true,
    } as const;
    const agent = new http.Agent();
    agent.createConnection = (_options, callback) => {
      const { port } = serving;
      const target = { host: '127.0.0.1', port, keepAlive: false, timeout: 0 };
      openTunnel(through, target, (error, socket) => {
        callback!(error, ktls.connect({ socket: socket!, rejectUnauthorized: false }));
      });
      return undefined;
    };
    expect(await get(http.get({ agent }))).toEqual({ offloaded: true, body: 'served' });
    expect(proxy.connects).toHaveLength(1);
    expect(serving.accepted.map(isOffloaded)).toEqual([true]);
  });

  if (process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
    it('of an agent with proxyEnv is offloaded', async () => {
      await using serving = await serve((_, response) => response.end('served'));
      await using proxy = await startProxy();
      const proxyEnv = { HTTPS_PROXY: proxy.url };
      const agent = new https.Agent({ mode: 'require', proxyEnv } as object);
      const { port } = serving;
      const outgoing = https.get({ host: '127.0.0.1', port, agent, rejectUnauthorized: false });
      expect(await get(outgoing)).toEqual({ offloaded: true, body: 'served' });
      expect(proxy.connects).toHaveLength(1);
      expect(serving.accepted.map(isOffloaded)).toEqual([true]);
      agent.destroy();
    });
  }
});

async function get(outgoing: http.ClientRequest): Promise<object> {
  const [message] = (await once(outgoing, 'response')) as [http.IncomingMessage];
  const { offloaded } = (message.socket as unknown as ktls.ClientSocket).offload;
  let body = '';
  for await (const chunk of message) body += String(chunk);
  return { offloaded, body };
}

/**
 * In the guest: the directory over HTTP/1.1 and over HTTP/2, each on a port of its own, offload required.
 * `POST /end` ends it; then it says what it has seen.
 *
 *   node server.js DIRECTORY CREDENTIALS PORT PORT
 */
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import ktls, { type OffloadedSocket } from 'ktls';
import serveStatic from 'ktls/serve-static';
import { type Seen, listening, seenPrefix } from './protocol.js';

const [directory = '', credentials = '', ...ports] = process.argv.slice(2);
const { key, cert } = JSON.parse(readFileSync(credentials, 'utf8')) as Record<string, string>;
const files = serveStatic(directory);
const servers: (https.Server | http2.Http2SecureServer)[] = [];

function watch(server: https.Server | http2.Http2SecureServer): Seen {
  const seen: Seen = { connections: 0, offloaded: 0, parts: 0, errors: [] };
  server.on('secureConnection', (socket: TLSSocket) => {
    seen.connections++;
    if ((socket as unknown as OffloadedSocket).offload.offloaded) seen.offloaded++;
  });
  server.on('tlsClientError', (error: Error) => seen.errors.push(error.message));
  const respond: RequestListener = (request, response) => {
    if (request.method === 'POST' && request.url === '/end') {
      response.end();
      for (const each of servers) each.close();
      return;
    }
    const { range } = request.headers;
    response.once('close', () => {
      if (response.statusCode === 206 && !range?.startsWith('bytes=0-')) seen.parts++;
    });
    files(request, response);
  };
  server.on('request', respond);
  servers.push(server);
  ktls.offload(server, { mode: 'require' });
  return seen;
}

const seen = [
  watch(https.createServer({ key, cert })),
  watch(http2.createSecureServer({ key, cert })),
];
await Promise.all(
  servers.map(
    (server, index) => new Promise<void>((resolve) => server.listen(Number(ports[index]), resolve)),
  ),
);
console.log(listening);
await Promise.all(servers.map((server) => new Promise((resolve) => server.once('close', resolve))));
console.log(`${seenPrefix}${JSON.stringify(seen)}`);

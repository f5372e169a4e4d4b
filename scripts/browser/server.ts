/**
 * In the guest: the directory over HTTP/1.1, over HTTP/2, and by `ktls serve`, each on a port of its own,
 * offload required. `POST /end` to the first ends it; then it says what it has seen.
 *
 *   node server.js DIRECTORY CREDENTIALS PORT PORT PORT
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TLSSocket } from 'node:tls';
import ktls, { type OffloadedSocket } from 'ktls';
import serveStatic from 'ktls/serve-static';
import { packageRoot } from '../../vm/package-root.js';
import { type Seen, listening, seenPrefix } from './protocol.js';

const [directory = '', credentials = '', ...ports] = process.argv.slice(2);
const { key = '', cert = '' } = JSON.parse(readFileSync(credentials, 'utf8')) as Record<
  string,
  string
>;
const files = serveStatic(directory);
const servers: (https.Server | http2.Http2SecureServer)[] = [];

function watch(server: https.Server | http2.Http2SecureServer): Seen {
  const seen: Seen = { connections: 0, offloaded: 0, errors: [] };
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
    files(request, response);
  };
  server.on('request', respond);
  servers.push(server);
  ktls.offload(server, { mode: 'require' });
  return seen;
}

/** The command: of its log each line is an answer, of which it says whether it went under kernel TLS. */
async function serveCommand(port: string): Promise<() => Promise<Seen>> {
  const pem = mkdtempSync(join(tmpdir(), 'browser-'));
  const [certFile, keyFile] = [join(pem, 'cert.pem'), join(pem, 'key.pem')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  const child = spawn(
    process.execPath,
    [
      ...[join(packageRoot(), 'dist/cli.js'), 'serve', directory, '--require', '--json'],
      ...['--host', '0.0.0.0', '--port', port, '--cert', certFile, '--key', keyFile],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const seen: Seen = { connections: 0, offloaded: 0, errors: [] };
  createInterface(child.stdout).on('line', (line) => {
    seen.connections++;
    if ((JSON.parse(line) as { offloaded: boolean }).offloaded) seen.offloaded++;
  });
  const said = createInterface(child.stderr);
  const ended = once(child, 'close') as Promise<[number | null]>;
  await Promise.race([
    new Promise<void>((resolve) => {
      said.on('line', (line) => {
        if (line.includes('kernel TLS is on')) resolve();
        else if (!/ is at https:|stopping when/.test(line)) seen.errors.push(line);
      });
    }),
    ended.then(() => Promise.reject(new Error(`ktls serve has ended: ${seen.errors.join()}`))),
  ]);
  return async () => {
    child.kill('SIGTERM');
    const [code] = await ended;
    rmSync(pem, { recursive: true });
    if (code !== 0) seen.errors.push(`exit code ${code}`);
    return seen;
  };
}

const seen = [
  watch(https.createServer({ key, cert })),
  watch(http2.createSecureServer({ key, cert })),
];
const endCommand = await serveCommand(ports[servers.length]!);
await Promise.all(
  servers.map(
    (server, index) => new Promise<void>((resolve) => server.listen(Number(ports[index]), resolve)),
  ),
);
console.log(listening);
await Promise.all(servers.map((server) => new Promise((resolve) => server.once('close', resolve))));
console.log(`${seenPrefix}${JSON.stringify([...seen, await endCommand()])}`);

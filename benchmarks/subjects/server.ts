/**
 * The measured process of a server trial: one driver, serving
 *
 *   GET /memory/<bytes>   from a Buffer
 *   GET /file             the file of the settings
 *   PUT /                 takes the body in and counts it
 */
import { statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Driver, DriverName, TlsSettings } from '../drivers/driver.js';

/** What the measured process gets in its first argument. */
export interface ServerSettings {
  readonly driver: DriverName;
  readonly tls: TlsSettings;
  readonly file: string;
}

const { driver: name, tls, file } = JSON.parse(process.argv[2]!) as ServerSettings;
const { driver } = (await import(`../drivers/${name}.js`)) as { driver: Driver };

const bodies = new Map<string, Buffer>();

function body(url: string): Buffer {
  let found = bodies.get(url);
  if (found === undefined) {
    found = Buffer.alloc(Number(url.slice('/memory/'.length)), 'k');
    bodies.set(url, found);
  }
  return found;
}

function takeIn(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => (bytes += chunk.length));
  request.on('end', () => response.end(String(bytes)));
}

const server = driver.listen((request, response) => {
  const { method, url = '' } = request;
  if (method === 'PUT') {
    takeIn(request, response);
  } else if (url === '/file') {
    response.setHeader('Content-Length', statSync(file).size);
    driver.sendFile(response, file);
  } else {
    response.end(body(url));
  }
}, tls);

server.listen(0, '127.0.0.1', () => {
  process.send!({ port: (server.address() as AddressInfo).port });
});
process.on('disconnect', () => process.exit());

/**
 * The measured process of a server trial: one driver, serving
 *
 *   GET /memory/<bytes>   from a Buffer
 *   GET /file/<bytes>     a file of the settings' folder
 *   PUT /                 takes the body in and counts it
 *
 * or returning what it gets. It answers the messages `watch`, `delay` and `collect`.
 */
import { statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import type { Driver, DriverName, TlsSettings } from '../drivers/driver.js';
import { lateness } from '../lateness.js';

/** What the measured process gets in its first argument. */
export interface ServerSettings {
  readonly driver: DriverName;
  readonly tls: TlsSettings;
  readonly folder: string;
  /** `idle`: connections are never closed for being idle. */
  readonly role: 'http' | 'http2' | 'echo' | 'idle';
}

const { driver: name, tls, folder, role } = JSON.parse(process.argv[2]!) as ServerSettings;
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

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = '' } = request;
  if (method === 'PUT') {
    takeIn(request, response);
  } else if (url.startsWith('/file/')) {
    const file = join(folder, url);
    response.setHeader('Content-Length', statSync(file).size);
    driver.sendFile(response, file);
  } else {
    response.end(body(url));
  }
}

function listening(): Server {
  if (role === 'echo') return driver.echo(tls);
  if (role === 'http2') {
    return driver.listenHttp2((request, response) => response.end(body(request.url)), tls);
  }
  const server = driver.listen(answer, tls);
  if (role === 'idle') server.keepAliveTimeout = 0;
  return server;
}

const server = listening();
server.listen(0, '127.0.0.1', () => {
  process.send!({ port: (server.address() as AddressInfo).port });
});

const delay = monitorEventLoopDelay({ resolution: 1 });

const answers: Readonly<Record<string, () => unknown>> = {
  /** Starts to watch the event loop. */
  watch: () => {
    delay.reset();
    delay.enable();
  },
  /** What has been seen of it. */
  delay: () => {
    delay.disable();
    return lateness(delay);
  },
  /** Leaves no garbage to be taken for memory in use. Answers with the bytes of the young generation. */
  collect: async () => {
    for (let i = 0; i < 3; i++) {
      await sleep(200);
      globalThis.gc!();
    }
    return getHeapSpaceStatistics()
      .filter(({ space_name }) => space_name.startsWith('new_'))
      .reduce((sum, { physical_space_size }) => sum + physical_space_size, 0);
  },
};

process.on('message', (question: string) => {
  void Promise.resolve(answers[question]!()).then((value) => process.send!(value ?? true));
});
process.on('disconnect', () => process.exit());

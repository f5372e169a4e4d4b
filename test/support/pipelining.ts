/** A client that asks for a large file, pipelines request after request behind it, and reads nothing at first. */
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { expect } from 'vitest';
import { sendFile } from '../../lib/index.js';
import serveStatic from '../../lib/serve-static.js';
import type { Scratch } from './scratch.js';

const REQUESTS = 1500;
/** A read of 64 KiB takes in a few hundred of these, far from half of them. */
const get = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-Padding: ${'p'.repeat(130)}\r\n\r\n`;

/** Answers `/large`, which is more than sockets hold, and writes nothing for what comes behind it until that is sent. */
export const handlers: Record<string, (scratch: Scratch) => RequestListener> = {
  sendFile: (scratch) => {
    const path = large(scratch);
    let sent: Promise<unknown>;
    return (request, response) => {
      if (request.url === '/large') sent = sendFile(response, path);
      sent.then(
        () => response.end(),
        () => undefined,
      );
    };
  },
  'serve-static': (scratch) => {
    large(scratch);
    return serveStatic(scratch.directory);
  },
};

function large(scratch: Scratch): string {
  const path = scratch.write('large', '');
  truncateSync(path, 32 * 2 ** 20);
  return path;
}

/** Requests that came, and responses of which everything is on its way. */
export interface Tally {
  asked: number;
  answered: number;
}

export function counted(handler: RequestListener, tally: Tally): RequestListener {
  return (request, response) => {
    tally.asked++;
    response.once('finish', () => tally.answered++);
    handler(request, response);
  };
}

/**
 * Expects that few of the requests are read until the client reads, and that all are answered then.
 *
 * @param release Called when that is seen, before the client reads.
 */
export async function flood(client: Socket, tally: Tally, release?: () => void): Promise<void> {
  client.pause();
  client.write(get('/large'));
  await expect.poll(() => tally.asked).toBe(1);
  for (let i = 0; i < REQUESTS; i += 10) client.write(get('/absent').repeat(10));
  client.write('GET /absent HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  // Until nothing more comes of it.
  let before = -1;
  await expect
    .poll(() => before === (before = tally.asked) && before > 1, { interval: 200, timeout: 10_000 })
    .toBe(true);
  // What came in one read is parsed whole.
  expect(tally.asked).toBeLessThan(REQUESTS / 2);
  release?.();
  const ended = once(client, 'end');
  client.resume();
  await ended;
  expect(tally).toEqual({ asked: REQUESTS + 2, answered: REQUESTS + 2 });
}

/** `ktls/serve-static` under kernel TLS, opposite curl and wget. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, truncateSync } from 'node:fs';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { createSecureServer } from '../../lib/http2.js';
import { OffloadedSocket } from '../../lib/index.js';
import { bytesWritten } from '../../lib/node-private.js';
import serveStatic from '../../lib/serve-static.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { digest } from '../support/connection.js';
import { type CurlResult, curl as runCurl } from '../support/curl.js';
import { foreignEnvironment } from '../support/foreign.js';
import { type Serving, closed, rawClient, rawRequest, readUntil, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openFiles, openSockets } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';
import { modifiedAt, writeSite } from '../support/site.js';

const SIZE = 1_000_000;

describeKernel('serve-static', () => {
  const scratch = new Scratch();
  const content = randomBytes(SIZE);
  const { root, file } = writeSite(scratch, content);
  const socketsBefore = openSockets();
  let serving: Serving;
  let at: string;
  /** What the kernel has taken from files by itself, for each response of a test. */
  let fromFiles: number[] = [];
  /** Responses under way: a client may be gone before its server knows that all is sent. */
  let pending = 0;

  beforeAll(async () => {
    serving = await serve(serveStatic(root, { precompressed: true }));
    at = `https://127.0.0.1:${serving.port}`;
    serving.server.on('request', ({ socket }, response) => {
      const sentBy = (): number => socket.bytesWritten - bytesWritten(socket);
      const before = sentBy();
      response.once('finish', () => fromFiles.push(sentBy() - before));
      pending++;
      response.once('close', () => pending--);
    });
  });
  beforeEach(async () => {
    await settled();
    fromFiles = [];
    serving.accepted.length = 0;
  });
  afterAll(async () => {
    await vi.waitFor(() => expect(openFiles(file)).toBe(0), 30_000);
    await serving[Symbol.asyncDispose]();
    scratch.remove();
    await onlyOpen(socketsBefore);
  });

  const settled = (): Promise<void> => expect.poll(() => pending).toBe(0);

  async function curl(...args: string[]): Promise<CurlResult> {
    const result = await runCurl('-k', '--http1.1', ...args);
    expect(result.code, result.stderr).toBe(0);
    await settled();
    for (const socket of serving.accepted) expect(socket).toBeInstanceOf(OffloadedSocket);
    return result;
  }
  const statusOf = (result: CurlResult): number => result.transfers[0]!.http_code;

  for (const version of ['1.2', '1.3']) {
    it(`sends a file from the page cache (TLS ${version})`, async () => {
      const { stdout } = await curl(`--tlsv${version}`, '--tls-max', version, `${at}/file.bin`);
      expect(digest(stdout)).toBe(digest(content));
      expect(fromFiles).toEqual([SIZE]);
    });
  }

  it('sends a part, and several', async () => {
    const one = await curl('-r', '1000-1999', `${at}/file.bin`);
    expect(statusOf(one)).toBe(206);
    expect(one.stdout.equals(content.subarray(1000, 2000))).toBe(true);
    const several = await curl('-r', '0-99,-100,500000-500999', `${at}/file.bin`);
    expect(statusOf(several)).toBe(206);
    for (const [from, to] of [
      [0, 100],
      [SIZE - 100, SIZE],
      [500_000, 501_000],
    ]) {
      expect(several.stdout.includes(content.subarray(from, to))).toBe(true);
    }
    expect(fromFiles).toEqual([1000, 1200]);
    expect(statusOf(await curl('-r', `${SIZE}-`, `${at}/file.bin`))).toBe(416);
  });

  it('lets curl and wget resume', async () => {
    const begun = scratch.write('by-curl', content.subarray(0, 400_000));
    await curl('-C', '-', '-o', begun, `${at}/file.bin`);
    expect(digest(readFileSync(begun))).toBe(digest(content));
    scratch.write('file.bin', content.subarray(0, 700_000));
    const wget = ['-q', '--no-config', '--no-proxy', '--no-check-certificate', '-c'];
    const into = ['-P', scratch.directory, `${at}/file.bin`];
    await promisify(execFile)('wget', [...wget, ...into], { env: foreignEnvironment() });
    expect(digest(readFileSync(scratch.path('file.bin')))).toBe(digest(content));
    await settled();
    expect(fromFiles).toEqual([600_000, 300_000]);
  });

  it('sends nothing of what the client has', async () => {
    const head = await curl('-I', `${at}/file.bin`);
    expect(head.stdout.toString()).toMatch(/^content-length: 1000000\r$/im);
    const [, etag] = /^etag: (.*)\r$/im.exec(head.stdout.toString())!;
    const none = await curl('-H', `If-None-Match: ${etag!}`, `${at}/file.bin`);
    const since = await curl('-z', modifiedAt.toUTCString(), `${at}/file.bin`);
    const older = await curl('-z', '2026-01-01', `${at}/file.bin`);
    expect([none, since, older].map(statusOf)).toEqual([304, 304, 200]);
    expect([none, since, older].map(({ stdout }) => stdout.length)).toEqual([0, 0, SIZE]);
    expect(fromFiles).toEqual([0, 0, 0, SIZE]);
  });

  it('sends the precompressed file to whom it suits', async () => {
    for (const [accepted, text] of [
      ['br', 'brotli page'],
      ['gzip', 'gzip page'],
      ['identity', 'plain page'],
    ] as const) {
      const { stdout } = await curl('-H', `Accept-Encoding: ${accepted}`, `${at}/page.html`);
      expect(stdout.toString()).toBe(text);
    }
  });

  it.each([
    '/../outside',
    '/%2e%2e/outside',
    '/%2e%2e%2foutside',
    '/file.bin%00',
    '/.secret',
    '/absent',
  ])('does not serve %s', async (path) => {
    const result = await curl('--path-as-is', `${at}${path}`);
    expect([400, 403, 404]).toContain(statusOf(result));
    expect(result.stdout.toString()).not.toContain('PRIVATE');
  });

  it('answers pipelined requests in order', async () => {
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /page.html') + rawRequest('GET /', 'Range: bytes=3-'));
    expect(await readUntil(client, 'plain page')).toMatch(/^HTTP\/1\.1 200 /);
    expect(await readUntil(client, '\r\n\r\nindex')).toMatch(/^HTTP\/1\.1 206 /);
    client.destroy();
  });

  it('resets the connection when the file becomes shorter', async () => {
    const path = scratch.write('site/shrinking', '');
    truncateSync(path, 64 * 2 ** 20);
    // Not node:tls: libuv takes a reset that comes behind a partial read for the end of the stream.
    const client = await rawClient(serving.port);
    const ended = once(client, 'end');
    ended.catch(() => undefined);
    client.pause();
    client.write(rawRequest('GET /shrinking'));
    await expect.poll(() => serving.accepted[0]?.bytesWritten).toBeGreaterThan(100_000);
    truncateSync(path, 1000);
    client.resume();
    await expect(ended).rejects.toMatchObject({ code: 'ECONNRESET' });
    await closed(client);
    await expect.poll(() => openFiles(path)).toBe(0);
  });

  it('lets go of the file when the client goes', async () => {
    const path = scratch.write('site/endless', '');
    // More than the sockets hold.
    truncateSync(path, 2 ** 30);
    const client = await rawClient(serving.port);
    client.write(rawRequest('GET /endless'));
    await once(client, 'readable');
    expect(openFiles(path)).toBeGreaterThan(0);
    client.destroy();
    await expect.poll(() => openFiles(path)).toBe(0);
  });

  it('streams to HTTP/2', async () => {
    const server = createSecureServer(ecdsaCertificate(), serveStatic(root));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    const stream = session.request({ ':path': '/file.bin', range: 'bytes=-300000' });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    expect(headers).toMatchObject({ ':status': 206, 'content-length': '300000' });
    expect(digest(await buffer(stream))).toBe(digest(content.subarray(700_000)));
    session.close();
    server.close();
    await once(server, 'close');
  });
});

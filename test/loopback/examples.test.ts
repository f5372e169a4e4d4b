/** The programs of `examples/`, as a user runs them; where this kernel has TLS, over kernel TLS. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { probe } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { ExampleServer, runExample } from '../support/examples.js';
import { scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

const folder = mkdtempSync(join(tmpdir(), 'ktls-examples-'));
const KEY = join(folder, 'key.pem');
const CERT = join(folder, 'cert.pem');
const FILE = join(folder, 'file.txt');
const content = 'many bytes of a file\n'.repeat(5000);
const env = { KEY, CERT, FILE, ROOT: folder };
const { key, cert } = ecdsaCertificate();
/** What an example says of its connection here. */
const offload = probe().reason?.code ?? 'kernel';

beforeAll(() => {
  writeFileSync(KEY, key);
  writeFileSync(CERT, cert);
  writeFileSync(FILE, content);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Answer {
  status: number | undefined;
  offload: unknown;
  body: string;
}

function open(port: number, path: string, headers = {}): Promise<IncomingMessage> {
  const options = { port, path, headers, host: 'localhost', ca: cert, agent: false };
  return new Promise((resolve, reject) => {
    request(options, resolve).on('error', reject).end();
  });
}

async function get(port: number, path: string, headers = {}): Promise<Answer> {
  const response = await open(port, path, headers);
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, offload: response.headers['x-offload'], body };
}

describe('the example', () => {
  it('https-server serves', async () => {
    await using server = await ExampleServer.start('https-server', env);
    expect(await get(server.port, '/')).toEqual({ status: 200, offload, body: 'hello\n' });
  });

  for (const name of ['express', 'fastify']) {
    it(`${name} serves pages and files`, async () => {
      await using server = await ExampleServer.start(name, env);
      expect(await get(server.port, '/')).toEqual({ status: 200, offload, body: 'hello\n' });
      expect(await get(server.port, '/files/file.txt')).toEqual({
        status: 200,
        offload,
        body: content,
      });
    });
  }

  it('send-file serves a file, and a part of it', async () => {
    await using server = await ExampleServer.start('send-file', env);
    expect(await get(server.port, '/')).toEqual({ status: 200, offload, body: content });
    expect(await get(server.port, '/', { range: 'bytes=100000-' })).toEqual({
      status: 206,
      offload,
      body: content.slice(100_000),
    });
  });

  it('send-file outlives a range that there is not, and a client that leaves', async () => {
    const large = join(folder, 'large');
    writeFileSync(large, '');
    truncateSync(large, 64 * 2 ** 20);
    await using server = await ExampleServer.start('send-file', { ...env, FILE: large });
    const beyond = { range: 'bytes=99999999-' };
    expect(await get(server.port, '/', beyond)).toMatchObject({ status: 416 });
    (await open(server.port, '/')).destroy();
    expect((await get(server.port, '/')).body).toHaveLength(64 * 2 ** 20);
  });

  it('tls-connect fetches a page', async () => {
    await using server = await ExampleServer.start('https-server', env);
    const output = await runExample('tls-connect', { CA: CERT, PORT: String(server.port) });
    expect(output).toContain(`client: ${offload}\n`);
    expect(output).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*hello\n/m);
  });

  it('undici fetches a page', async () => {
    await using server = await ExampleServer.start('https-server', env);
    const url = `https://localhost:${server.port}/`;
    const output = await runExample('undici', { CA: CERT, URL: url });
    expect(output).toBe(`client: ${offload}\n200 hello\n\n`);
  });

  it('register fetches a page', async () => {
    await using server = await ExampleServer.start('https-server', env);
    const url = `https://localhost:${server.port}/`;
    const output = await runExample('register', { CA: CERT, URL: url }, [
      '--import',
      'ktls/register',
    ]);
    expect(output).toBe(`client: ${offload}\nhello\n`);
  });
});

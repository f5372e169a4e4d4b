/** curl against an `https.Server` of Node whose connections are offloaded. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OffloadedSocket, offload, stats } from '../../lib/index.js';
import { ecdsaCertificate, rsaCertificate } from '../support/certificates.js';
import { digest } from '../support/connection.js';
import { type CurlResult, curl as runCurl } from '../support/curl.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';

const MIB = 1024 * 1024;
const page = randomBytes(3 * MIB);
const upload = randomBytes(2 * MIB);
/** It would offer the protocol "http/1.0", which Node's servers do not speak. */
const oldest = ['-v', '--http1.0', '--no-alpn', '--ignore-content-length'];
/** curl does not mind if it does not, but with `-v` it says so. */
const closeNotifyCame = '(IN), TLS alert, close notify';
const pieces = Array.from({ length: 200 }, (_, index) => `piece ${index}\n`);

function respond(request: IncomingMessage, response: ServerResponse): void {
  switch (request.url) {
    case '/page':
      response.setHeader('Content-Length', page.length);
      response.end(page);
      break;
    case '/pieces':
      for (const piece of pieces) response.write(piece);
      response.end();
      break;
    case '/cut':
      response.write('half', () => response.socket!.destroy());
      break;
    case '/digest': {
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => hash.update(chunk));
      request.on('end', () => response.end(hash.digest('hex')));
      break;
    }
    default:
      response.writeHead(404).end('no such page');
  }
}

describeKernel('curl', () => {
  const scratch = new Scratch();
  const socketsBefore = openSockets();
  const trusted = scratch.write('trusted.pem', ecdsaCertificate().cert);
  const uploaded = scratch.write('upload', upload);
  const server = offload(https.createServer(ecdsaCertificate(), respond));
  /** What the server accepted during the test that runs. */
  let accepted: OffloadedSocket[];
  let decryptErrors: number | undefined;
  let at: string;

  beforeAll(async () => {
    server.on('secureConnection', (socket) => {
      accepted.push(socket as unknown as OffloadedSocket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    at = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  beforeEach(() => {
    accepted = [];
    decryptErrors = stats()!['TlsDecryptError'];
  });

  afterEach(() => {
    expect(stats()!['TlsDecryptError']).toBe(decryptErrors);
  });

  afterAll(async () => {
    server.close();
    await once(server, 'close');
    scratch.remove();
    await onlyOpen(socketsBefore);
  });

  for (const version of ['1.2', '1.3']) {
    /** All went well, over so many connections, each of them offloaded. */
    async function curl(connections: number, ...args: string[]): Promise<CurlResult> {
      const limits = [`--tlsv${version}`, '--tls-max', version, '--cacert', trusted];
      const result = await runCurl(...limits, ...args);
      expect(result.code, result.stderr).toBe(0);
      expect(accepted).toHaveLength(connections);
      for (const socket of accepted) {
        expect(socket).toBeInstanceOf(OffloadedSocket);
        expect(socket.offload).toMatchObject({ offloaded: true, version: `TLSv${version}` });
      }
      return result;
    }

    describe(`over TLS ${version}`, () => {
      it('downloads a page of 3 MiB', async () => {
        const { stdout, transfers } = await curl(1, `${at}/page`);
        expect(digest(stdout)).toBe(digest(page));
        expect(transfers).toMatchObject([{ http_code: 200, ssl_verify_result: 0 }]);
      });

      it('downloads a part of it at a limited rate', async () => {
        const { stdout } = await curl(1, '--limit-rate', '4M', `${at}/page`);
        expect(digest(stdout)).toBe(digest(page));
      });

      it('uploads a file', async () => {
        const { stdout, transfers } = await curl(1, '-T', uploaded, `${at}/digest`);
        expect(stdout.toString()).toBe(digest(upload));
        expect(transfers).toMatchObject([{ size_upload: upload.length }]);
      });

      it('uploads a file of unknown length', async () => {
        const chunked = ['-H', 'Transfer-Encoding: chunked', '-T', uploaded];
        const { stdout } = await curl(1, ...chunked, `${at}/digest`);
        expect(stdout.toString()).toBe(digest(upload));
      });

      it('waits for 100 Continue', async () => {
        const expecting = ['-v', '-H', 'Expect: 100-continue', '--expect100-timeout', '60'];
        const { stdout, stderr } = await curl(1, ...expecting, '-T', uploaded, `${at}/digest`);
        expect(stderr).toContain('< HTTP/1.1 100 Continue');
        expect(stdout.toString()).toBe(digest(upload));
      });

      it('asks for the head only', async () => {
        const { stdout, transfers } = await curl(1, '-I', `${at}/page`);
        expect(stdout.toString()).toMatch(/^content-length: 3145728\r$/im);
        expect(transfers).toMatchObject([{ http_code: 200, size_download: 0 }]);
      });

      it('fetches several pages over one connection', async () => {
        const files = ['first', 'second', 'third'].map((name) => scratch.path(name));
        const { transfers } = await curl(
          1,
          ...['-o', files[0]!, `${at}/page`],
          ...['-o', files[1]!, `${at}/pieces`],
          ...['-o', files[2]!, `${at}/page`],
        );
        expect(transfers.map((transfer) => transfer.num_connects)).toEqual([1, 0, 0]);
        expect(files.map((file) => digest(readFileSync(file)))).toEqual(
          [page, Buffer.from(pieces.join('')), page].map(digest),
        );
      });

      it('reads a chunked answer', async () => {
        const { stdout } = await curl(1, `${at}/pieces`);
        expect(stdout.toString()).toBe(pieces.join(''));
      });

      it.each([
        ['/pieces', Buffer.from(pieces.join(''))],
        ['/page', page],
      ])('takes the end of the connection for the end of the answer: %s', async (path, body) => {
        const { stdout, stderr, transfers } = await curl(1, ...oldest, `${at}${path}`);
        expect(digest(stdout)).toBe(digest(body));
        expect(stderr).toContain(closeNotifyCame);
        expect(transfers).toMatchObject([{ http_code: 200 }]);
      });

      it('gets no close_notify if the connection is cut', async () => {
        const { stdout, stderr } = await curl(1, ...oldest, `${at}/cut`);
        expect(stdout.toString()).toBe('half');
        expect(stderr).not.toContain(closeNotifyCame);
      });

      it('is told what does not exist', async () => {
        const { stdout, transfers } = await curl(1, `${at}/nothing`);
        expect(stdout.toString()).toBe('no such page');
        expect(transfers).toMatchObject([{ http_code: 404 }]);
      });

      it('leaves in the middle of an answer', async () => {
        const closed = new Promise((resolve) => {
          server.once('secureConnection', (socket) => socket.once('close', resolve));
        });
        const limits = ['--tls-max', version, '--cacert', trusted, '--max-filesize', '1000'];
        expect(await runCurl(...limits, `${at}/page`)).toMatchObject({ code: 63 });
        await closed;
      });
    });
  }

  it('goes away where it does not trust the certificate', async () => {
    const refused = once(server, 'tlsClientError') as Promise<[Error]>;
    const other = scratch.write('other.pem', rsaCertificate().cert);
    expect(await runCurl('--cacert', other, `${at}/page`)).toMatchObject({ code: 60 });
    expect((await refused)[0]).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' });
    expect(accepted).toHaveLength(0);
  });
});

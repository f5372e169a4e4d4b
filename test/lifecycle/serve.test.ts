/** `ktls serve` under kernel TLS: processes that share a port, and an end that cuts nothing off. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { afterAll, expect, it, vi } from 'vitest';
import { stats } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { digest } from '../support/connection.js';
import { curl } from '../support/curl.js';
import { describeKernel } from '../support/kernel.js';
import { Scratch } from '../support/scratch.js';
import { scriptTimeout } from '../support/script.js';
import { portOf, startServe } from '../support/serve.js';
import { limitTcpBuffers, narrow } from '../support/tcp-buffers.js';

vi.setConfig(scriptTimeout);

describeKernel('ktls serve', () => {
  const scratch = new Scratch();
  afterAll(() => scratch.remove());
  /** More than TCP's buffers hold, if they are narrow: a transfer that nobody reads is under way. */
  const content = randomBytes(2_000_000);
  scratch.write('large', content);
  scratch.write('small.txt', 'small');
  const { key, cert } = ecdsaCertificate();
  const start = (workers: number, ...more: string[]) =>
    startServe([
      ...[scratch.directory, '--host', '127.0.0.1', '--port', '0', '--require'],
      ...['--cert', scratch.write('cert.pem', cert), '--key', scratch.write('key.pem', key)],
      ...['--workers', String(workers), ...more],
    ]);
  const begun = async (port: number): Promise<IncomingMessage> => {
    const outgoing = get({ port, host: '127.0.0.1', path: '/large', ca: cert, agent: false });
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return response;
  };

  for (const workers of [1, 2]) {
    it(`serves under kernel TLS and lets transfers end: ${workers} processes`, async (context) => {
      limitTcpBuffers(context, narrow);
      const before = stats()!['TlsTxSw']!;
      await using serve = start(workers);
      const port = await portOf(serve);
      expect(serve.stderr).toContain('kernel TLS is on');
      const large = await Promise.all([begun(port), begun(port)]);
      expect(stats()!['TlsTxSw']! - before).toBeGreaterThanOrEqual(2);
      serve.process.kill('SIGTERM');
      await serve.matched(/stopping/);
      for (const response of large) {
        expect(digest(await buffer(response))).toBe(digest(content));
      }
      const { code, stdout } = await serve.ended;
      expect(code).toBe(0);
      expect(stdout.match(/"GET \/large HTTP\/1\.1" 200 2000000\n/g)).toHaveLength(2);
    });

    it(`says of each request that it was offloaded: ${workers} processes`, async () => {
      await using serve = start(workers, '--json');
      const at = `https://127.0.0.1:${await portOf(serve)}`;
      await curl('--cacert', scratch.path('cert.pem'), `${at}/small.txt`);
      serve.process.kill('SIGTERM');
      const { code, stdout } = await serve.ended;
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        url: '/small.txt',
        status: 200,
        bytes: 5,
        offloaded: true,
      });
    });

    it(`ends at once with the second signal: ${workers} processes`, async (context) => {
      limitTcpBuffers(context, narrow);
      await using serve = start(workers);
      const large = await begun(await portOf(serve));
      serve.process.kill('SIGINT');
      await serve.matched(/stopping/);
      serve.process.kill('SIGTERM');
      expect(await serve.ended).toMatchObject({ code: 143 });
      await expect(buffer(large)).rejects.toMatchObject({ code: 'ECONNRESET' });
    });
  }

  it('replaces a worker that was killed', async () => {
    await using serve = start(2);
    const port = await portOf(serve);
    const { pid } = serve.process;
    const children = (): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').map(Number);
    const first = children();
    expect(first).toHaveLength(2);
    process.kill(first[0]!, 'SIGKILL');
    await serve.matched(/a worker ended with SIGKILL; starting another/);
    await expect.poll(() => children().filter((child) => !first.includes(child)).length).toBe(1);
    const small = ['--cacert', scratch.path('cert.pem'), `https://127.0.0.1:${port}/small.txt`];
    for (let i = 0; i < 4; i++) expect(await curl(...small)).toMatchObject({ code: 0 });
    serve.process.kill('SIGTERM');
    expect(await serve.ended).toMatchObject({ code: 0 });
  });
});

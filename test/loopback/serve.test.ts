/** `ktls serve` where there is no kernel TLS, or where that makes no difference. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { probe } from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { digest } from '../support/connection.js';
import { curl } from '../support/curl.js';
import { Scratch } from '../support/scratch.js';
import { scriptTimeout } from '../support/script.js';
import { type ServeCommand, portOf, startServe } from '../support/serve.js';

vi.setConfig(scriptTimeout);

const scratch = new Scratch();
afterAll(() => scratch.remove());
mkdirSync(scratch.path('site'));
const content = randomBytes(20_000_000);
scratch.write('site/large', content);
scratch.write('site/small.txt', 'small\n');
scratch.write('site/.secret', 'PRIVATE');
const site = scratch.path('site');
const { key, cert } = ecdsaCertificate();
const certified = [
  '--cert',
  scratch.write('cert.pem', cert),
  '--key',
  scratch.write('key.pem', key),
];
const trusting = ['--cacert', scratch.path('cert.pem')];
const local = ['--host', '127.0.0.1', '--port', '0'];

const line = (request: string, status: number, bytes: number | '-'): RegExp =>
  new RegExp(
    `^127\\.0\\.0\\.1 - - \\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d [+-]\\d{4}\\] "${request}" ${status} ${bytes}$`,
    'm',
  );

/** A download that has begun, and waits for its reader. */
async function begun(port: number): Promise<IncomingMessage> {
  const outgoing = get({ port, host: '127.0.0.1', path: '/large', ca: cert, agent: false });
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return response;
}

for (const workers of [1, 2]) {
  describe(`ktls serve, ${workers} of them`, () => {
    const start = (...more: string[]) =>
      startServe([site, ...local, ...certified, '--workers', String(workers), ...more]);

    it('serves, logs and ends in good order', async () => {
      await using serve = start();
      const at = `https://127.0.0.1:${await portOf(serve)}`;
      const answers = await curl(...trusting, `${at}/small.txt`);
      expect(answers).toMatchObject({ code: 0, transfers: [{ http_code: 200 }] });
      await curl(...trusting, '-r', '0-9', `${at}/large`);
      await curl(...trusting, '-I', `${at}/large`);
      expect((await curl(...trusting, `${at}/.secret`)).stdout.toString()).toBe('Not Found\n');
      serve.process.kill('SIGTERM');
      const { code, stdout, stderr } = await serve.ended;
      expect(code).toBe(0);
      expect(stdout).toMatch(line('GET /small.txt HTTP/1.1', 200, 6));
      expect(stdout).toMatch(line('GET /large HTTP/1.1', 206, 10));
      expect(stdout).toMatch(line('HEAD /large HTTP/1.1', 200, '-'));
      expect(stdout).toMatch(line('GET /.secret HTTP/1.1', 404, 10));
      const { available } = probe();
      expect(stderr).toContain(available ? 'kernel TLS is on' : 'kernel TLS is off');
    });

    it('lets a transfer end, takes no new connection, and leaves no idle one open', async () => {
      await using serve = start();
      const port = await portOf(serve);
      const mute = connect(port, '127.0.0.1').on('error', () => undefined);
      const large = await begun(port);
      await expect.poll(() => mute.connecting).toBe(false);
      serve.process.kill('SIGINT');
      await serve.matched(/stopping/);
      await expect
        .poll(async () => (await curl('-k', `https://127.0.0.1:${port}/small.txt`)).code)
        .not.toBe(0);
      expect(digest(await buffer(large))).toBe(digest(content));
      expect(await serve.ended).toMatchObject({ code: 0 });
      mute.destroy();
    });

    it('ends at once with the second signal', async () => {
      await using serve = start();
      const port = await portOf(serve);
      const large = await begun(port);
      serve.process.kill('SIGTERM');
      await serve.matched(/stopping/);
      serve.process.kill('SIGTERM');
      expect(await serve.ended).toMatchObject({ code: 143 });
      await expect(buffer(large)).rejects.toMatchObject({ code: 'ECONNRESET' });
    });

    it('lets a transfer end when nobody reads its notes any more', async () => {
      await using serve = start();
      const large = await begun(await portOf(serve));
      serve.process.stdout!.destroy();
      serve.process.stderr!.destroy();
      serve.process.kill('SIGTERM');
      // It would have died of its note by the time that this is read.
      await delay(500);
      expect(digest(await buffer(large))).toBe(digest(content));
      expect(await serve.ended).toMatchObject({ code: 0, signal: null });
    });

    it('says so when the certificate is none', async () => {
      await using serve = start('--cert', scratch.path('site/small.txt'));
      const { code, stderr } = await serve.ended;
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^ktls: .*PEM.*\n$/)]);
    });

    it('says so when the port is taken', async () => {
      await using serve = start();
      const port = await portOf(serve);
      await using second = start('--port', String(port));
      const { code, stderr } = await second.ended;
      expect([code, stderr]).toEqual([1, expect.stringContaining('EADDRINUSE')]);
    });
  });
}

describe('the workers of ktls serve', () => {
  const start = (workers: number, command?: (bin: string[]) => string[]) =>
    startServe([site, ...local, ...certified, '--workers', String(workers)], command);

  const children = ({ process: { pid } }: ServeCommand): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').map(Number);

  it('are replaced although a replacement ends before it listens', async () => {
    await using serve = start(2);
    const url = `https://127.0.0.1:${await portOf(serve)}/small.txt`;
    const first = children(serve);
    const replacements = (): number[] => children(serve).filter((pid) => !first.includes(pid));
    process.kill(first[0]!, 'SIGKILL');
    await expect.poll(replacements, { interval: 5 }).toHaveLength(1);
    process.kill(replacements()[0]!, 'SIGKILL');
    await serve.matched(/a worker ended with SIGKILL; 1 of 2 workers serve\n/);
    await expect.poll(() => children(serve), { timeout: 10_000 }).toHaveLength(2);
    for (let i = 0; i < 4; i++) expect(await curl(...trusting, url)).toMatchObject({ code: 0 });
    serve.process.kill('SIGTERM');
    expect(await serve.ended).toMatchObject({ code: 0 });
  });

  it('come back at the same port when all of them crash', async () => {
    await using serve = start(2);
    const url = `https://127.0.0.1:${await portOf(serve)}/small.txt`;
    for (const pid of children(serve)) process.kill(pid, 'SIGKILL');
    await serve.matched(/starting another\n[^]*starting another\n/);
    await expect.poll(async () => (await curl(...trusting, url)).code, { timeout: 20_000 }).toBe(0);
    serve.process.kill('SIGTERM');
    expect(await serve.ended).toMatchObject({ code: 0 });
  });

  it('are waited for no longer when one cannot be started', async () => {
    await using serve = start(16, (bin) => ['prlimit', '--nofile=34', ...bin]);
    expect(await serve.ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^ktls: a worker cannot be started: .*EMFILE\n$/) as string,
    });
  });
});

describe('ktls serve', () => {
  it('goes on when nobody reads the log any more', async () => {
    await using serve = startServe([site, ...local, ...certified]);
    const url = `https://127.0.0.1:${await portOf(serve)}/small.txt`;
    serve.process.stdout!.destroy();
    for (let i = 0; i < 3; i++) expect(await curl(...trusting, url)).toMatchObject({ code: 0 });
    serve.process.kill('SIGTERM');
    expect(await serve.ended).toMatchObject({ code: 0 });
  });

  it('makes a certificate of its own, for the names it is called by', async () => {
    await using serve = startServe([site, ...local]);
    await portOf(serve);
    const fingerprint = await serve.matched(/self-signed, SHA-256 ([0-9A-F:]{95})\n/);
    const { connect: connectTls } = await import('node:tls');
    const port = await portOf(serve);
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    const own = socket.getPeerX509Certificate()!;
    expect(own.fingerprint256).toBe(fingerprint);
    expect(own.checkHost('localhost')).toBe('localhost');
    expect(own.checkIP('127.0.0.1')).toBe('127.0.0.1');
    socket.destroy();
    writeFileSync(scratch.path('own.pem'), own.toString());
    const trusted = ['--cacert', scratch.path('own.pem')];
    const { code } = await curl(...trusted, `https://127.0.0.1:${port}/small.txt`);
    expect(code).toBe(0);
  });

  it('shows the progress of a transfer on a terminal, below the log', async () => {
    const shell = (bin: string[]): string => bin.map((word) => `'${word}'`).join(' ');
    // script(1) does not bear a sanitizer in it.
    const preload = process.env['LD_PRELOAD'] ?? '';
    await using serve = startServe([site, ...local, ...certified, '--workers', '2'], (bin) => [
      ...['env', 'LD_PRELOAD=', 'script', '-qefc'],
      ...[`stty rows 24 cols 80; LD_PRELOAD='${preload}' exec ${shell(bin)}`, '/dev/null'],
    ]);
    // The terminal's line ends.
    const port = Number(await serve.matched(/ is at https:\/\/[^ ]+:(\d+)\//));
    const slow = curl(...trusting, '--limit-rate', '10M', `https://127.0.0.1:${port}/large`);
    await serve.matched(/\/large {2,} +\d+% [\d.]+ [KM]iB of 19\.1 MiB, [\d.]+ [KMG]?i?B\/s/);
    expect((await slow).code).toBe(0);
    await serve.matched(/"GET \/large HTTP\/1\.1" 200 20000000/);
  });

  it.each([
    [['--port', '70000'], '--port 70000: not an integer from 0 to 65535'],
    [['--workers', '0'], '--workers 0: not an integer from 1 to 1024'],
    [['--cert', 'x'], '--cert and --key go together'],
    [['/nonexistent'], '/nonexistent is no directory'],
    [['a', 'b'], 'one directory at a time'],
    [['--nonsense'], '--nonsense'],
  ])('explains a wrong argument: %j', async (args, message) => {
    await using serve = startServe(args);
    const { code, stderr } = await serve.ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it('has a --help', async () => {
    await using serve = startServe(['--help']);
    const { code, stdout } = await serve.ended;
    expect([code, stdout]).toEqual([0, expect.stringContaining('--workers N')]);
  });

  // Where the kernel has TLS it does: test/lifecycle/serve.test.ts.
  it.skipIf(probe().available)('does not start with --require without kernel TLS', async () => {
    await using serve = startServe([site, ...local, ...certified, '--require']);
    expect(await serve.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('TLS') as string,
    });
  });
});

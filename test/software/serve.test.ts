/** `ktls serve` as downloaders and load generators see it: wget, curl, wrk. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { rsaCertificate } from '../support/certificates.js';
import { digest } from '../support/connection.js';
import { curl } from '../support/curl.js';
import { describeKernel } from '../support/kernel.js';
import { Scratch } from '../support/scratch.js';
import { scriptTimeout } from '../support/script.js';
import { type ServeCommand, portOf, startServe } from '../support/serve.js';

vi.setConfig(scriptTimeout);

/** Of wrk. */
const SECONDS = 30;
/** What a heap may breathe, in KiB: an entry kept for each request would be many times that. */
const BREATH = 16 * 1024;

const scratch = new Scratch();
const site = new Scratch();
afterAll(() => {
  scratch.remove();
  site.remove();
});
const content = randomBytes(5_000_000);
site.write('large.bin', content);
site.write('small.txt', 'small');
symlinkSync('/proc/version', site.path('version.txt'));
const { key, cert } = rsaCertificate();
const trusted = scratch.write('cert.pem', cert);

describeKernel('ktls serve', () => {
  let serve: ServeCommand;
  let at: string;
  beforeAll(async () => {
    serve = startServe([
      ...[site.directory, '--host', '127.0.0.1', '--port', '0', '--require', '--quiet'],
      ...['--cert', trusted, '--key', scratch.write('key.pem', key)],
    ]);
    at = `https://127.0.0.1:${await portOf(serve)}`;
  });
  afterAll(() => serve[Symbol.asyncDispose]());

  const target = scratch.path('download');
  /** As an interrupted download leaves it. */
  const begun = (bytes: number): void => {
    rmSync(target, { force: true });
    appendFileSync(target, content.subarray(0, bytes));
  };
  const isComplete = () => digest(readFileSync(target)) === digest(content);

  const wget = (...args: string[]) => {
    const always = ['--no-config', '--no-proxy', '--tries=1', `--ca-certificate=${trusted}`];
    return spawnSync('wget', [...always, ...args], { encoding: 'utf8' });
  };
  const get = (path: string, ...args: string[]) =>
    curl('--cacert', trusted, ...args, `${at}/${path}`);
  const status = async (path: string, ...args: string[]): Promise<number | undefined> =>
    (await get(path, ...args)).transfers[0]?.http_code;

  it('gives wget a file, and with -c the rest of one', () => {
    for (const bytes of [0, 1, 2_000_000]) {
      begun(bytes);
      const { status, stderr } = wget('-S', '-c', '-O', target, `${at}/large.bin`);
      expect([status, isComplete()]).toEqual([0, true]);
      expect(stderr).toContain(bytes === 0 ? ' 200 OK' : ' 206 Partial Content');
    }
    // All of it is there.
    expect(wget('-c', '-O', target, `${at}/large.bin`).status).toBe(0);
    expect(isComplete()).toBe(true);
  });

  it('gives curl the rest of a file, and parts of it', async () => {
    begun(3_000_000);
    const rest = await get('large.bin', '-C', '-', '-o', target);
    expect([rest.code, rest.transfers[0]?.size_download]).toEqual([0, 2_000_000]);
    expect(isComplete()).toBe(true);
    const part = await get('large.bin', '-r', '100000-299999');
    expect(part.stdout.equals(content.subarray(100_000, 300_000))).toBe(true);
    const end = await get('large.bin', '-r', '-10');
    expect(end.stdout.equals(content.subarray(-10))).toBe(true);
    expect(await status('large.bin', '-r', '5000000-')).toBe(416);
  });

  it('answers conditions, and gives parts only of what the client has', async () => {
    const { stdout } = await get('large.bin', '-I');
    const header = (name: string) => new RegExp(`^${name}: (.*)\r$`, 'mi').exec(stdout.toString());
    const [, etag = ''] = header('ETag') ?? [];
    const [, modified = ''] = header('Last-Modified') ?? [];
    expect(etag).toMatch(/^W\//);
    expect(await status('large.bin', '-H', `If-None-Match: ${etag}`)).toBe(304);
    expect(await status('large.bin', '-z', modified)).toBe(304);
    const range = ['-r', '0-9', '-o', target];
    expect(await status('large.bin', ...range, '-H', `If-Range: ${modified}`)).toBe(206);
    expect(await status('large.bin', ...range, '-H', `If-Range: ${etag}`)).toBe(200);
  });

  it('gives both of them a file whose size nobody knows', async () => {
    const version = readFileSync('/proc/version', 'utf8');
    const { stdout, stderr } = await get('version.txt', '-v');
    expect(stdout.toString()).toBe(version);
    expect(stderr).not.toMatch(/content-length/i);
    rmSync(target, { force: true });
    expect(wget('-O', target, `${at}/version.txt`).status).toBe(0);
    expect(readFileSync(target, 'utf8')).toBe(version);
  });

  it(`answers wrk for ${SECONDS} s and keeps nothing of it`, { timeout: 300_000 }, async () => {
    const { pid = 0 } = serve.process;
    const wrk = (seconds: number): string =>
      execFileSync('wrk', ['-t1', '-c8', '--timeout', '30s', `-d${seconds}s`, `${at}/small.txt`], {
        encoding: 'utf8',
      });
    const files = () => readdirSync(`/proc/${pid}/fd`).length;
    const resident = (): number =>
      Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    wrk(10);
    await expect.poll(files, { timeout: 20_000 }).toBeLessThan(40);
    const before = { files: files(), resident: resident() };
    const report = wrk(SECONDS);
    expect(report).not.toMatch(/Socket errors|Non-2xx/);
    expect(Number(/(\d+) requests in/.exec(report)?.[1])).toBeGreaterThan(SECONDS);
    await expect.poll(files, { timeout: 20_000 }).toBeLessThanOrEqual(before.files);
    expect(resident() - before.resident).toBeLessThan(BREATH);
  });
});

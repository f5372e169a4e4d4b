/** Files of every kind under kernel TLS: what can be sent is, and what cannot leaves no trace. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, readdirSync, truncateSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { type OffloadedSocket, sendFile } from '../../lib/index.js';
import { bytesWritten } from '../../lib/node-private.js';
import { type Pair, connectPair, digest, readAll, readExactly } from '../support/connection.js';
import { curl } from '../support/curl.js';
import { serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { openFiles } from '../support/leaks.js';
import { Scratch } from '../support/scratch.js';

/** Its size is 0, as `stat` has it, and it is the same whenever it is read. */
const SIZELESS = '/proc/version';

/** procfs has no splice for the registers of a PCI device, although it knows their size. */
function spliceless(): string {
  const [bus] = readdirSync('/proc/bus/pci').filter((name) => name !== 'devices');
  const [device] = readdirSync(`/proc/bus/pci/${bus!}`);
  return `/proc/bus/pci/${bus!}/${device!}`;
}

const pair = (): Promise<Pair> => connectPair({ client: 'node' });
const ours = ({ server }: Pair): OffloadedSocket => server as OffloadedSocket;

describeKernel('a file', () => {
  const scratch = new Scratch();
  const content = randomBytes(1_000_000);
  const file = scratch.write('file', content);
  afterAll(() => scratch.remove());

  it('of unknown size is read to its end, in its place', async () => {
    const expected = readFileSync(SIZELESS);
    await using connection = await pair();
    const socket = ours(connection);
    socket.write('before ');
    const sent = socket.sendFile(SIZELESS);
    const part = socket.sendFile(SIZELESS, { start: 5, end: 24 });
    socket.end(' after');
    expect((await readAll(connection.client)).toString()).toBe(
      `before ${expected.toString()}${expected.subarray(5, 25).toString()} after`,
    );
    expect([await sent, await part]).toEqual([expected.length, 20]);
    await expect.poll(() => openFiles(SIZELESS)).toBe(0);
  });

  it('that has no splice is read and written', async () => {
    const path = spliceless();
    const expected = readFileSync(path);
    expect(expected.length).toBeGreaterThan(0);
    await using connection = await pair();
    const socket = ours(connection);
    socket.write('before ');
    const sent = socket.sendFile(path);
    socket.sendFile(file, { end: 9 }).catch(() => undefined);
    socket.end(' after');
    const got = await readAll(connection.client);
    // The kernel itself has brought the other file only.
    expect(socket.bytesWritten - bytesWritten(socket)).toBe(10);
    const all = [Buffer.from('before '), expected, content.subarray(0, 10), Buffer.from(' after')];
    expect(got.equals(Buffer.concat(all))).toBe(true);
    expect(await sent).toBe(expected.length);
    await expect.poll(() => openFiles(path)).toBe(0);
  });

  it('of either kind is a body in chunks', async () => {
    await using serving = await serve((request, response) => {
      const path = request.url === '/sizeless' ? SIZELESS : spliceless();
      void sendFile(response, path).then(() => response.end());
    });
    const at = `https://127.0.0.1:${serving.port}`;
    const { code, stdout } = await curl(
      ...['-k', '--http1.1', `${at}/sizeless`, '--next'],
      ...['-k', '--http1.1', `${at}/spliceless`],
    );
    expect(code).toBe(0);
    const expected = Buffer.concat([readFileSync(SIZELESS), readFileSync(spliceless())]);
    expect(digest(stdout)).toBe(digest(expected));
  });

  it('that is empty is nothing', async () => {
    const empty = scratch.write('empty', '');
    await using connection = await pair();
    const socket = ours(connection);
    expect(await socket.sendFile(empty)).toBe(0);
    await expect(socket.sendFile(empty, { start: 1 })).rejects.toMatchObject({
      code: 'ERR_KTLS_FILE_RANGE',
    });
    await expect.poll(() => openFiles(empty)).toBe(0);
  });

  it('that grows is sent as long as it was', async () => {
    const path = scratch.write('growing', '');
    truncateSync(path, 8_000_000);
    await using connection = await pair();
    const socket = ours(connection);
    connection.client.pause();
    const sent = socket.sendFile(path);
    await expect.poll(() => socket.bytesWritten).toBeGreaterThan(0);
    appendFileSync(path, 'more');
    socket.end('after');
    const got = await readAll(connection.client);
    expect(got.length).toBe(8_000_005);
    expect(got.subarray(-5).toString()).toBe('after');
    expect(await sent).toBe(8_000_000);
    await expect.poll(() => openFiles(path)).toBe(0);
  });

  it('that is a FIFO is refused at once', async () => {
    const path = scratch.path('fifo');
    execFileSync('mkfifo', [path]);
    await using connection = await pair();
    const socket = ours(connection);
    await expect(socket.sendFile(path)).rejects.toMatchObject({ code: 'ERR_KTLS_NOT_A_FILE' });
    socket.write('goes on');
    expect((await readExactly(connection.client, 7)).toString()).toBe('goes on');
    await expect.poll(() => openFiles(path)).toBe(0);
  });
});

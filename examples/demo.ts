/**
 * The whole of it on a real file: an https.Server under kernel TLS serves it to curl and to a
 * `ktls.connect` client, and takes it back from curl. Fails unless every byte arrives, every socket is
 * offloaded, and the kernel's own counters say that it did the cryptography.
 *
 * Run by `npm run demo`, which finds a kernel that has TLS.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  createReadStream,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import ktls, { type OffloadState, type TlsCounters } from 'ktls';

const run = promisify(execFile);
/** The program of Node itself: real content that every machine that runs this has. */
const content = process.execPath;
const LEAST = 64 * 2 ** 20;

const problems: string[] = [];

async function sha256(stream: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function show(who: string, state: OffloadState): void {
  console.log(
    `  ${who}: ${state.version} ${state.cipher}, tx ${state.tx}, rx ${state.rx}` +
      (state.offloaded ? '' : ` (${state.reason}: ${state.detail})`),
  );
  if (!state.offloaded) problems.push(`${who} was not offloaded`);
}

/** The file to serve: the content, as often as it takes where Node is a small program with large libraries. */
function fileToServe(folder: string): string {
  const { size } = statSync(content);
  if (size >= LEAST) return content;
  const path = join(folder, 'file');
  const program = readFileSync(content);
  for (let written = 0; written < LEAST; written += size) appendFileSync(path, program);
  return path;
}

/** A self-signed certificate for localhost. */
async function certificate(folder: string): Promise<{ key: Buffer; cert: Buffer; path: string }> {
  const key = join(folder, 'key.pem');
  const path = join(folder, 'cert.pem');
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', ['req', ...kind, ...subject, '-days', '2', '-keyout', key, '-out', path]);
  return { key: readFileSync(key), cert: readFileSync(path), path };
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  show(
    `server, ${request.method ?? ''}`,
    (request.socket as unknown as { offload: OffloadState }).offload,
  );
  if (request.method === 'PUT') {
    sha256(request).then(
      (digest) => response.end(digest),
      (error: unknown) => response.destroy(error as Error),
    );
  } else {
    response.setHeader('Content-Length', statSync(file).size);
    createReadStream(file).pipe(response);
  }
}

/** Downloads over a bare `ktls.connect` socket: one HTTP/1.1 request, read to the end. */
async function download(port: number, ca: Buffer): Promise<string> {
  const socket = ktls.connect({ port, host: 'localhost', ca, servername: 'localhost' });
  socket.on('secureConnect', () => show('client, ktls.connect', socket.offload));
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  const hash = createHash('sha256');
  let head: Buffer | null = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    if (head === null) {
      hash.update(chunk);
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) continue;
    hash.update(head.subarray(end + 4));
    head = null;
  }
  return hash.digest('hex');
}

const check = (what: string, good: boolean): void => {
  console.log(`  ${good ? 'ok    ' : 'FAILED'} ${what}`);
  if (!good) problems.push(what);
};

const support = ktls.probe();
if (!support.available) {
  console.error(`This kernel cannot do it: ${support.reason?.message ?? ''}`);
  process.exit(1);
}
const working = support.ciphers.filter(({ tx, rx }) => tx === 0 && rx === 0).length;
console.log(
  `Kernel TLS: ${working} combinations of version and cipher, probed in ${support.duration.toFixed(1)} ms`,
);

const folder = mkdtempSync(join(tmpdir(), 'ktls-demo-'));
const { key, cert, path } = await certificate(folder);
const file = fileToServe(folder);
const size = statSync(file).size;
const expected = await sha256(createReadStream(file));
console.log(`File: ${file}, ${(size / 2 ** 20).toFixed(1)} MiB, SHA-256 ${expected.slice(0, 16)}…`);

const server = ktls.offload(createServer({ key, cert }, serve));
await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
const { port } = server.address() as AddressInfo;
const url = `https://localhost:${port}/`;
const before: TlsCounters = ktls.stats() ?? {};

console.log('Sockets');
const output = join(folder, 'download');
await run('curl', ['-sS', '--fail', '--cacert', path, '-o', output, url]);
const byCurl = await sha256(createReadStream(output));
const byKtls = await download(port, cert);
const { stdout: uploaded } = await run('curl', [
  '-sS',
  '--fail',
  '--cacert',
  path,
  '-T',
  file,
  url,
]);

server.close();
const after: TlsCounters = ktls.stats() ?? {};
console.log('/proc/net/tls_stat');
for (const [name, value] of Object.entries(after)) {
  const delta = value - (before[name] ?? 0);
  if (delta !== 0) console.log(`  ${name.padEnd(24)} ${delta > 0 ? '+' : ''}${delta}`);
}
const delta = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);

console.log('Checks');
check('curl downloaded the file', byCurl === expected);
check('ktls.connect downloaded the file', byKtls === expected);
check('curl uploaded the file', uploaded === expected);
// Three connections: the server's end of each, and the client's end of one.
check('the kernel encrypted for 4 sockets', delta('TlsTxSw') + delta('TlsTxDevice') === 4);
check('the kernel decrypted for 4 sockets', delta('TlsRxSw') + delta('TlsRxDevice') === 4);
check('no record failed to decrypt', delta('TlsDecryptError') === 0);
rmSync(folder, { recursive: true });
if (problems.length > 0) {
  console.error(`\n${problems.length} failed: ${problems.join('; ')}`);
  process.exit(1);
}
console.log('\nKernel TLS did it all.');

/**
 * `npm run test:browser`: Chromium on this host loads a page with 200 assets and a film, in which it jumps
 * about, from offloaded servers in a VM, over HTTP/1.1 and over HTTP/2, and from `ktls serve`. It fails on
 * a byte that is wrong, on an error on the page's console, and on a connection that was not offloaded.
 * `KTLS_KERNELS` names the kernels (default `trixie`).
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import { freePort } from '../benchmarks/ports.js';
import type { KernelName } from '../vm/kernels.js';
import { packageRoot } from '../vm/package-root.js';
import { runInVm } from '../vm/run.js';
import { requirePackages } from '../vm/tools.js';
import { runText } from '../vm/command.js';
import { Chromium } from './browser/chromium.js';
import { type Seen, listening, seenPrefix } from './browser/protocol.js';
import { type Findings, duration, expected, writeSite } from './browser/site.js';
import { wantedOr } from './kernels.js';

const directory = join(packageRoot(), 'out/browser');
const site = join(directory, 'site');
const credentials = join(directory, 'credentials.json');

/** @returns the digest of the certificate's public key, as Chromium wants it */
async function writeCertificate(): Promise<string> {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const files = ['-keyout', '-', '-out', '-'];
  const pem = await runText('openssl', [
    'req',
    '-x509',
    '-days',
    '30',
    ...key,
    ...subject,
    ...files,
  ]);
  const at = pem.indexOf('-----BEGIN CERTIFICATE-----');
  const cert = pem.slice(at);
  writeFileSync(credentials, JSON.stringify({ key: pem.slice(0, at), cert }), { mode: 0o600 });
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64');
}

interface Response {
  readonly response: {
    readonly protocol: string;
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly securityDetails?: { readonly protocol: string };
  };
}

interface Loaded {
  readonly findings: Findings;
  /** What the console has, and what could not be loaded. */
  readonly errors: readonly string[];
  /** `h2 TLS 1.3`, with the number of answers. */
  readonly protocols: ReadonlyMap<string, number>;
  /** Answers that are a part which does not begin with the file's first byte. */
  readonly parts: number;
}

async function load(chromium: Chromium, port: number): Promise<Loaded> {
  const errors: string[] = [];
  const protocols = new Map<string, number>();
  let parts = 0;
  const page = await chromium.open((method, params) => {
    if (method === 'Network.responseReceived') {
      const { protocol, status, headers, securityDetails } = (params as Response).response;
      // `data:` and what comes from its own cache.
      if (securityDetails === undefined) return;
      const name = `${protocol} ${securityDetails.protocol}`;
      protocols.set(name, (protocols.get(name) ?? 0) + 1);
      if (status >= 400) errors.push(`status ${status}`);
      const range = new Headers(headers).get('Content-Range');
      if (status === 206 && range?.startsWith('bytes 0-') === false) parts++;
    } else if (method === 'Network.loadingFailed') {
      // A film is taken only as far as it is needed.
      const { canceled } = params as { canceled?: boolean };
      if (canceled !== true) errors.push(JSON.stringify(params));
    } else if (method === 'Runtime.exceptionThrown') {
      errors.push(JSON.stringify(params));
    } else if (method === 'Log.entryAdded') {
      const { entry } = params as { entry: { level: string; text: string } };
      if (entry.level === 'error') errors.push(entry.text);
    } else if (method === 'Runtime.consoleAPICalled') {
      errors.push(JSON.stringify(params));
    }
  });
  for (const domain of ['Network', 'Runtime', 'Log', 'Page']) await page.call(`${domain}.enable`);
  await page.call('Page.navigate', { url: `https://localhost:${port}/` });
  // The page is another one until its first bytes are there.
  const inspect = `new Promise((resolve) => {
    const wait = () => (typeof inspect === 'function' ? resolve(inspect()) : setTimeout(wait, 50));
    wait();
  })`;
  const findings = (await retried(() => page.evaluate(inspect))) as Findings;
  return { findings, errors, protocols, parts };
}

/** An evaluation ends with the document that it has begun in. */
async function retried<T>(evaluate: () => Promise<T>): Promise<T> {
  try {
    return await evaluate();
  } catch (error) {
    if (!/context was destroyed|navigated/i.test(String(error))) throw error;
    return retried(evaluate);
  }
}

async function end(port: number): Promise<void> {
  const path = '/end';
  const outgoing = request({ port, path, method: 'POST', rejectUnauthorized: false, agent: false });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [NodeJS.ReadableStream];
  response.resume();
}

async function onKernel(kernel: KernelName, keyDigest: string): Promise<void> {
  const ports = [await freePort(), await freePort(), await freePort()];
  let output = '';
  let ready = (): void => undefined;
  const started = new Promise<void>((resolve) => (ready = resolve));
  const server = runInVm({
    kernel,
    ports,
    cpus: 1,
    command: ['node', 'out/scripts/browser/server.js', site, credentials, ...ports.map(String)],
    onOutput: (chunk) => {
      output += chunk.toString();
      if (output.includes(listening)) ready();
    },
  });
  await Promise.race([
    started,
    server.then(() => Promise.reject(new Error(`the servers have ended: ${output}`))),
  ]);
  const loads: Loaded[] = [];
  {
    await using chromium = new Chromium(keyDigest);
    for (const port of ports) loads.push(await load(chromium, port));
  }
  await end(ports[0]!);
  const { status } = await server;
  equal(status, 0, output);
  const seen = JSON.parse(output.split(seenPrefix)[1] ?? '[]') as Seen[];

  const servers = [
    ['https', 'http/1.1'],
    ['http2', 'h2'],
    ['ktls serve', 'http/1.1'],
  ] as const;
  for (const [index, [name, protocol]] of servers.entries()) {
    const { findings, errors, protocols, parts } = loads[index]!;
    const { jumps, ...rest } = findings;
    deepEqual(errors, []);
    deepEqual(rest, expected);
    deepEqual(
      jumps.map(([seconds, visible]) => [Math.round(seconds), visible]),
      [0.9, 0.1, 0.5].map((share) => [Math.round(duration * share), true]),
    );
    deepEqual([...protocols.keys()], [`${protocol} TLS 1.3`]);
    const { connections, offloaded } = seen[index]!;
    equal(offloaded, connections);
    deepEqual(seen[index]!.errors, []);
    ok(parts > 0, 'no part of the film was asked for');
    const answers = [...protocols.values()][0]!;
    const on = name === 'ktls serve' ? '' : ` on ${connections} connections`;
    console.log(
      `${kernel}, ${name}, ${protocol}: ${answers} answers${on}, all offloaded; ` +
        `${rest.intact} assets intact; ${jumps.length} jumps in the film, by ${parts} ranges; no error`,
    );
  }
}

await requirePackages({ chromium: 'chromium', ffmpeg: 'ffmpeg', openssl: 'openssl' });
mkdirSync(dirname(credentials), { recursive: true });
const keyDigest = await writeCertificate();
await writeSite(site);
try {
  for (const kernel of wantedOr(['trixie'])) await onKernel(kernel, keyDigest);
} finally {
  rmSync(credentials, { force: true });
}

/**
 * Self-signed certificates for tests, made by the `openssl` command once per checkout: key generation is
 * slow under emulation, and a guest finds what its host has made. Keys and certificates are of no use to
 * anyone outside these tests.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** P-256, for localhost, 127.0.0.1 and ::1. `name` makes another, of the same kind. */
export const ecdsaCertificate = (name = 'localhost'): Certificate =>
  certificate('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...forServer(name));

/** RSA 2048, for the same names. */
export const rsaCertificate = (): Certificate => certificate('-newkey', 'rsa:2048', ...forServer());

/** DSA 2048, for the same names: only TLS 1.2's DHE-DSS suites use it. */
export const dsaCertificate = (): Certificate =>
  certificate('-newkey', 'dsa:parameters.pem', ...forServer());

/** For a client to show. RSA: `bits` makes it as large as a test needs. */
export const clientCertificate = (bits = 2048): Certificate =>
  certificate('-newkey', `rsa:${bits}`, '-subj', '/CN=client', ...forClient);

/** Makes all of them, for the tests of a guest to find: vitest's global set-up. */
export default function makeAll(): void {
  ecdsaCertificate();
  ecdsaCertificate('other.example');
  rsaCertificate();
  dsaCertificate();
  clientCertificate();
  clientCertificate(4096);
}

const forServer = (name = 'localhost'): string[] => [
  ...['-subj', `/CN=${name}`],
  ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'],
];
const forClient = ['-addext', 'extendedKeyUsage=clientAuth'];

/** Of our own, so that the host's openssl.cnf has no say. */
const configuration = `[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
basicConstraints = critical, CA:TRUE
`;

/** A DSA group is public, and dear to find. */
const dsaParameters = `-----BEGIN DSA PARAMETERS-----
MIICKAKCAQEAk60kjv0r64EMDAIDYaU0ysbh1VjUty42+PB4DhFtjvjvdfR3fcx6
6RowTYg4hSmCZHX73F6yqwXFWwhDRLRqWg5YzAQJsmK3oRyGME5cflYNOHiwqrqz
uN4yNJQh+b32dNXvt4SCl4zFNSUIjdTxmXQ7u+dkzRI0OBPLMHwRdkP49Czzb+Wb
0m1jQWwY8llKEn1/K7uTNidaWZO4sIoTTDtjmqxFECUEpCclsYYiezkGKDf4owwm
o63JmpK7Fmu1CXITL1c843IbkjxUXODTp3p3g2eRjtLWVakd9U3/UQrEzxujq4XP
O3yfLQRFtmVgiKhHVyg9J1x+nZwZRo1tYwIdAMkcDV6wf/GHKIFicscDHHVO7nNd
dHUKO8t6dRUCggEANCx+wetU48aNf1hIWJ59nTKaJ3mon2iGR+TSsC2cM2Ltn6mu
oVJ3mZPj2vQcgeN/4M8K06F0M6B7VJPspxzuKlQy4eHuFcm2PiliAQm+otAqpbGK
f1alpFYuK5XCJ+0htI5XOlgiUwE2UPs9mKlBVsUUoLR8+qUtjfrI6e8xIxY6sClA
7ofnJH9m/1MWoagJXZ856AW9gIhBzrSFFlWd1T9Q5Axb0OhKbsp6KakoFUY2Wc2M
KnMPzNez4o/CvBF0mJpBlk/T7qwtPVa4WJzIIzc0PnyanvZ+RFRBvJO+vCjPjxqb
Nrd9vQGw8cC4Mj4SX6aWJbkvbXml+Uv7DWLeig==
-----END DSA PARAMETERS-----
`;

const directory = fileURLToPath(new URL('../../out/test-certificates', import.meta.url));
const cached = new Map<string, Certificate>();

function certificate(...request: string[]): Certificate {
  const args = [
    ...['req', '-x509', '-config', 'openssl.cnf', '-nodes', '-sha256', '-days', '3650'],
    ...request,
    ...['-keyout', '-', '-out', '-'],
  ];
  const recipe = JSON.stringify([args, configuration, dsaParameters]);
  const found = cached.get(recipe) ?? fromDisk(recipe, () => generate(args));
  cached.set(recipe, found);
  return found;
}

function fromDisk(recipe: string, make: () => Certificate): Certificate {
  const file = join(directory, createHash('sha256').update(recipe).digest('hex').slice(0, 32));
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Certificate;
  } catch {
    // Not there yet. Test processes run side by side: whoever renames last wins, and all are right.
    const made = make();
    const unfinished = `${file}.${randomUUID()}`;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(unfinished, JSON.stringify(made), { mode: 0o600 });
    renameSync(unfinished, file);
    return made;
  }
}

function generate(args: string[]): Certificate {
  const scratch = mkdtempSync(join(tmpdir(), 'ktls-openssl-'));
  try {
    writeFileSync(join(scratch, 'openssl.cnf'), configuration);
    writeFileSync(join(scratch, 'parameters.pem'), dsaParameters);
    const pem = execFileSync('openssl', args, {
      cwd: scratch,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const certificateAt = pem.indexOf('-----BEGIN CERTIFICATE-----');
    return { key: pem.slice(0, certificateAt), cert: pem.slice(certificateAt) };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/**
 * A certificate for trying things out, signed by itself. The `openssl` command makes it and hands it over
 * through a pipe: the private key is never on disk.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** RFC 5280: of ASN.1's UTF8String, and of openssl's configuration nothing but the plain characters. */
const HOST = /^[\w.:-]{1,63}$/;

/**
 * For P-256, valid 30 days.
 *
 * @param hosts - Names and addresses that it is for.
 * @throws Error if there is no `openssl`, or it fails.
 */
export function selfSigned(hosts: readonly string[]): Certificate {
  const names = [...new Set(hosts)].filter((host) => HOST.test(host));
  const alternatives = names.map((host) => `${isIP(host) === 0 ? 'DNS' : 'IP'}:${host}`);
  const configuration = [
    '[req]',
    'prompt = no',
    'distinguished_name = name',
    'x509_extensions = extensions',
    '[name]',
    `CN = ${names[0] ?? 'localhost'}`,
    '[extensions]',
    'basicConstraints = critical, CA:FALSE',
    'keyUsage = critical, digitalSignature',
    'extendedKeyUsage = serverAuth',
    ...(alternatives.length > 0 ? [`subjectAltName = ${alternatives.join(', ')}`] : []),
    '',
  ].join('\n');
  const { error, status, stdout, stderr } = request(configuration);
  const advice = 'give --cert and --key';
  if (error !== undefined) {
    throw new Error(`no certificate, and no openssl to make one (${error.message}): ${advice}`);
  }
  const [key] = /-----BEGIN (\w+ )?PRIVATE KEY-----[^]*?-----END .*-----\n/.exec(stdout) ?? [];
  const [cert] = /-----BEGIN CERTIFICATE-----[^]*?-----END .*-----\n/.exec(stdout) ?? [];
  if (status !== 0 || key === undefined || cert === undefined) {
    throw new Error(`openssl made no certificate: ${stderr.trim()}; ${advice}`);
  }
  return { key, cert };
}

/** The configuration, which is no secret, has to be a file. */
function request(configuration: string): SpawnSyncReturns<string> {
  const directory = mkdtempSync(join(tmpdir(), 'ktls-serve-'));
  try {
    const file = join(directory, 'openssl.cnf');
    writeFileSync(file, configuration);
    const args = [
      ...['req', '-x509', '-config', file, '-nodes', '-sha256', '-days', '30'],
      ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', '-', '-out', '-'],
    ];
    return spawnSync('openssl', args, { encoding: 'utf8' });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What Node negotiates by default against what the kernel, and a device, can take over. */
import { deviceTakes } from '../kernel/device-path.js';
import { type CipherSuite, cipherSuites } from '../tls/cipher-suites.js';
import { type Finding, info, pass, warn } from './finding.js';
import { type System } from './system.js';

export function checkCiphers(system: System): Finding[] {
  const { ciphers } = system.probe();
  if (ciphers.length === 0) return [];
  const takes = ({ version, kernelCipher }: CipherSuite): boolean =>
    ciphers.some(
      (each) =>
        each.version === version && each.cipher === kernelCipher && each.tx === 0 && each.rx === 0,
    );
  const offered = system.process.ciphers.filter((name) => /^[A-Z0-9_-]+$/.test(name));
  const rows = offered.map((name) => ({
    name,
    suite: cipherSuites.find((row) => row.name === name),
  }));
  const findings: Finding[] = [];
  const tls13 = rows.filter(({ name }) => name.startsWith('TLS_'));
  const lacking = tls13.filter(({ suite }) => suite === undefined || !takes(suite));
  findings.push(
    lacking.length === 0
      ? pass('ciphers.tls13', 'TLS 1.3 by default', `All of ${list(tls13)} can be offloaded.`)
      : warn(
          'ciphers.tls13',
          'TLS 1.3 by default',
          `A connection that negotiates ${list(lacking)} stays with node:tls.`,
        ),
  );
  const tls12 = rows.filter(({ name }) => !name.startsWith('TLS_'));
  const other = tls12.filter(({ suite }) => suite === undefined || !takes(suite));
  findings.push(
    other.length === 0
      ? pass('ciphers.tls12', 'TLS 1.2 by default', 'All can be offloaded.')
      : info(
          'ciphers.tls12',
          'TLS 1.2 by default',
          `${tls12.length - other.length} of ${tls12.length} can be offloaded; not the CBC suites and AES-256-CCM, which the kernel does not have and which only old peers choose.`,
        ),
  );
  const device = tls12.filter(({ suite }) => suite !== undefined && deviceTakes(suite));
  findings.push(
    info(
      'ciphers.device',
      'For a network card',
      `The kernel hands a device only TLS 1.2 with AES-GCM: ${list(device.slice(0, 4))}, and the like.`,
    ),
  );
  return findings;
}

const list = (rows: readonly { name: string }[]): string => rows.map(({ name }) => name).join(', ');

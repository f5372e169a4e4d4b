import { describe, expect, it } from 'vitest';
import { cipherSuiteByName } from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';
import { Exporter } from '../../../lib/tls/exporter.js';
import { KeylogSecrets } from '../../../lib/tls/keylog.js';

const random = Buffer.alloc(32, 1);

function secretsOf(label: string, secret: Buffer): KeylogSecrets {
  const secrets = new KeylogSecrets();
  secrets.add(Buffer.from(`${label} ${random.toString('hex')} ${secret.toString('hex')}`));
  return secrets;
}

describe('Exporter', () => {
  const suite = cipherSuiteByName('TLS_AES_128_GCM_SHA256', ProtocolVersion.TLS13)!;
  const make = (): Exporter =>
    Exporter.of(suite, secretsOf('EXPORTER_SECRET', Buffer.alloc(32, 5)), null)!;

  it('keeps its secret when the key log is wiped, and gives it up when told', () => {
    const secrets = secretsOf('EXPORTER_SECRET', Buffer.alloc(32, 5));
    const exporter = Exporter.of(suite, secrets, null)!;
    secrets.wipe();
    expect(exporter.export(16, 'label')).toEqual(make().export(16, 'label'));
    exporter.wipe();
    expect(exporter.wiped).toBe(true);
  });

  it('tells labels, contexts and lengths apart', () => {
    const outputs = [
      make().export(32, 'a'),
      make().export(32, 'b'),
      make().export(32, 'a', Buffer.from('c')),
      make().export(33, 'a'),
    ].map((output) => output!.toString('hex').slice(0, 64));
    expect(new Set(outputs).size).toBe(4);
  });

  it('refuses what TLS 1.3 has no room for', () => {
    expect(make().export(16, 'x'.repeat(250))).toBe(null);
    expect(make().export(255 * 32 + 1, 'x')).toBe(null);
  });

  it('is not to be had of a handshake that disclosed nothing', () => {
    expect(Exporter.of(suite, new KeylogSecrets(), random)).toBe(null);
    const tls12 = cipherSuiteByName('ECDHE-RSA-AES128-GCM-SHA256', ProtocolVersion.TLS12)!;
    const secrets = secretsOf('CLIENT_RANDOM', Buffer.alloc(48, 5));
    expect(Exporter.of(tls12, secrets, null)).toBe(null);
    expect(Exporter.of(tls12, secrets, random)!.export(16, 'key expansion')).toBe(null);
  });
});

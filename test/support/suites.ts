/** What node:tls must be told so that exactly one cipher suite is negotiated. */
import type { ConnectionOptions, TlsOptions } from 'node:tls';
import type { CipherSuite } from '../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../lib/tls/constants.js';
import {
  type Certificate,
  dsaCertificate,
  ecdsaCertificate,
  rsaCertificate,
} from './certificates.js';

const psk = Buffer.alloc(16, 7);
const usesPsk = (suite: CipherSuite): boolean => suite.name.includes('PSK');

/** Options for both sides. */
export function suiteOptions(
  suite: CipherSuite,
): Pick<TlsOptions & ConnectionOptions, 'minVersion' | 'maxVersion' | 'ciphers'> {
  return suite.version === ProtocolVersion.TLS13
    ? { minVersion: 'TLSv1.3', ciphers: suite.name }
    : { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: `${suite.name}:@SECLEVEL=0` };
}

export function serverSuiteOptions(suite: CipherSuite): TlsOptions {
  return {
    ...suiteOptions(suite),
    ...certificateFor(suite),
    ...(/DHE|ADH/.test(suite.name) ? { dhparam: 'auto' } : {}),
    ...(usesPsk(suite) ? { pskCallback: () => psk, pskIdentityHint: 'hint' } : {}),
  };
}

export function clientSuiteOptions(suite: CipherSuite): ConnectionOptions {
  return {
    ...suiteOptions(suite),
    ...(usesPsk(suite)
      ? { pskCallback: () => ({ psk, identity: 'test' }), checkServerIdentity: () => undefined }
      : {}),
  };
}

function certificateFor(suite: CipherSuite): Certificate {
  if (suite.name.includes('DSS')) return dsaCertificate();
  const ecdsa = suite.version === ProtocolVersion.TLS13 || suite.name.includes('ECDSA');
  return ecdsa ? ecdsaCertificate() : rsaCertificate();
}

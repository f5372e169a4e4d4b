/** What the kernel's device path (net/tls/tls_device.c) can hand to a network card, as of Linux 7.3. */
import { type CipherSuite, cipherSuites } from '../tls/cipher-suites.js';
import { ProtocolVersion } from '../tls/constants.js';

/** `tls_set_device_offload()`: AES-256 since Linux 6.1; no TLS 1.3 as of 7.3. */
export function deviceTakes({ version, algorithm }: CipherSuite): boolean {
  return version === ProtocolVersion.TLS12 && /^aes-(128|256)-gcm$/.test(algorithm);
}

/**
 * Options of `connect`, `createServer` and everything else that takes those of node:tls, with which nothing
 * is negotiated but what the kernel can hand to a network card: TLS 1.2 with AES-GCM and forward secrecy.
 * For connections that are worth more on a card than with TLS 1.3; a card is not needed.
 *
 * @example ktls.createServer({ key, cert, ...ktls.deviceOptions })
 */
export const deviceOptions = Object.freeze({
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: cipherSuites
    .filter((suite) => deviceTakes(suite) && /^ECDHE-(ECDSA|RSA)-/.test(suite.name))
    .map(({ name }) => name)
    .join(':'),
} as const);

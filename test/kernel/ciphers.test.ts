/** Every row of the cipher table, in both directions and roles. */
import { expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import { cipherRefusal } from '../../lib/kernel/probe.js';
import { type CipherSuite, KernelCipher, cipherSuites } from '../../lib/tls/cipher-suites.js';
import { connectPair, exchange, isOffloaded, type Side } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { clientSuiteOptions, serverSuiteOptions } from '../support/suites.js';

const aria: readonly number[] = [KernelCipher.ariaGcm128, KernelCipher.ariaGcm256];
const roles: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];

/** Suites in everyday use get all three pairings; of the rest, both of our roles at once will do. */
const everyday = (suite: CipherSuite): boolean =>
  !/PSK|DSS|ADH|ARIA|^AES|^DHE-DSS/.test(suite.name);

async function tryPair(suite: CipherSuite, server: Side, client: Side, offloaded: boolean) {
  const before = stats()!;
  const pair = await connectPair({
    server,
    client,
    serverOptions: serverSuiteOptions(suite),
    clientOptions: clientSuiteOptions(suite),
  });
  expect(pair.client.getCipher().name).toBe(suite.name);
  expect(await exchange(pair, 100_000)).toBe(true);
  if (server === 'ktls') expect(isOffloaded(pair.server)).toBe(offloaded);
  if (client === 'ktls') expect(isOffloaded(pair.client)).toBe(offloaded);
  await pair.close();
  expect(stats()!['TlsDecryptError']).toBe(before['TlsDecryptError']);
}

describeKernel('each cipher of the table moves data both ways', () => {
  for (const suite of cipherSuites) {
    for (const [server, client] of everyday(suite) ? roles : roles.slice(2)) {
      it(`${suite.name}: ${server} server, ${client} client`, async () => {
        // Not every distribution builds ARIA; then node:tls must carry the connection.
        const offloaded = cipherRefusal(suite) === null;
        if (!aria.includes(suite.kernelCipher)) expect(offloaded).toBe(true);
        await tryPair(suite, server, client, offloaded);
      });
    }
  }
});

describeKernel('a cipher that no kernel knows is left to node:tls', () => {
  const suites = [
    ['TLS_AES_128_CCM_8_SHA256', 'TLSv1.3'],
    ['ECDHE-ECDSA-AES256-CCM', 'TLSv1.2'],
    ['ECDHE-ECDSA-AES128-SHA256', 'TLSv1.2'],
  ] as const;
  for (const [ciphers, version] of suites) {
    for (const [server, client] of roles) {
      it(`${ciphers}: ${server} server, ${client} client`, async () => {
        const options = {
          minVersion: version,
          maxVersion: version,
          // At level 0, for the sake of the short tag; TLS 1.3 suites alone are no list.
          ciphers: `${ciphers}:${version === 'TLSv1.3' ? 'DEFAULT' : ''}@SECLEVEL=0`,
        };
        const sides = { server, client, serverOptions: options, clientOptions: options };
        await using pair = await connectPair(sides);
        expect(await exchange(pair, 100_000)).toBe(true);
        for (const socket of [pair.server, pair.client]) {
          if (!('offload' in socket)) continue;
          expect(socket.offload).toMatchObject({
            offloaded: false,
            tx: 'none',
            rx: 'none',
            reason: 'ERR_KTLS_CIPHER',
          });
        }
      });
    }
  }
});

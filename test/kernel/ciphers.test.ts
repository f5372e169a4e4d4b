/** Every row of the cipher table, in both directions and both roles, against node:tls and ourselves. */
import { expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import { kernelTakes } from '../../lib/kernel/probe.js';
import { cipherSuites } from '../../lib/tls/cipher-suites.js';
import { connectPair, exchange, isOffloaded, type Side } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { clientSuiteOptions, serverSuiteOptions } from '../support/suites.js';

const roles: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];

describeKernel('each cipher of the table moves data both ways', () => {
  for (const suite of cipherSuites) {
    for (const [server, client] of roles) {
      it(`${suite.name}: ${server} server, ${client} client`, async () => {
        expect(kernelTakes(suite.version, suite.kernelCipher)).toBe(true);
        const before = stats()!;
        const pair = await connectPair({
          server,
          client,
          serverOptions: serverSuiteOptions(suite),
          clientOptions: clientSuiteOptions(suite),
        });
        expect(pair.client.getCipher().name).toBe(suite.name);
        expect(await exchange(pair, 100_000)).toBe(true);
        if (server === 'ktls') expect(isOffloaded(pair.server)).toBe(true);
        if (client === 'ktls') expect(isOffloaded(pair.client)).toBe(true);
        await pair.close();
        expect(stats()!['TlsDecryptError']).toBe(before['TlsDecryptError']);
      });
    }
  }
});

/** The secrets of one connection, as somebody knows them who has its key log and its first bytes. */
import { cipherSuiteByName } from '../../lib/tls/cipher-suites.js';
import { protocolVersion } from '../../lib/tls/constants.js';
import { keyBlock, trafficKeys } from '../../lib/tls/key-schedule.js';
import { KeylogSecrets } from '../../lib/tls/keylog.js';
import type { Version } from './scripted.js';
import type { Wire } from './wire.js';

export type Secrets = Readonly<Record<string, Buffer>>;

export interface ConnectionSecrets {
  /** From which keys are made: the traffic secrets of TLS 1.3, the master secret of TLS 1.2. */
  readonly traffic: Secrets;
  /** What `exportKeyingMaterial` needs: in TLS 1.2 that is the master secret again. */
  readonly exporter: Secrets;
  readonly keys: Secrets;
  /** In TLS 1.2 none: their four bytes may stand anywhere. */
  readonly ivs: Secrets;
  /** Key and salt side by side, as the kernel wants them and as nothing but this library puts them. */
  readonly forKernel: Secrets;
}

/** Where the random stands in a ServerHello: behind the headers of record and message, and the version. */
const serverRandomAt = 5 + 4 + 2;

/**
 * @param cipher by OpenSSL's name
 * @param lines of the key log
 */
export function connectionSecrets(
  version: Version,
  cipher: string,
  lines: readonly Buffer[],
  wire: Wire,
): ConnectionSecrets {
  const log = new KeylogSecrets();
  for (const line of lines) log.add(line);
  const suite = cipherSuiteByName(cipher, protocolVersion(version)!)!;
  const named = (what: string, client: Buffer, server: Buffer): Secrets => ({
    [`client's ${what}`]: client,
    [`server's ${what}`]: server,
  });
  const salted = ({ key, iv }: { key: Buffer; iv: Buffer }): Buffer =>
    Buffer.concat([key, iv.subarray(0, suite.saltLength)]);
  const { masterSecret } = log;
  if (masterSecret !== null) {
    const serverRandom = Buffer.concat(wire.toClient).subarray(serverRandomAt).subarray(0, 32);
    const { client, server } = keyBlock(suite, masterSecret, log.clientRandom!, serverRandom);
    return {
      traffic: { 'master secret': masterSecret },
      exporter: { 'master secret': masterSecret },
      keys: named('key', client.key, server.key),
      ivs: {},
      forKernel: named('key and salt', salted(client), salted(server)),
    };
  }
  const [clientSecret, serverSecret] = [log.clientTrafficSecret!, log.serverTrafficSecret!];
  const client = trafficKeys(suite, clientSecret);
  const server = trafficKeys(suite, serverSecret);
  return {
    traffic: named('traffic secret', clientSecret, serverSecret),
    exporter: { 'exporter secret': log.exporterSecret! },
    keys: named('key', client.key, server.key),
    ivs: named('IV', client.iv, server.iv),
    forKernel: named('key and salt', salted(client), salted(server)),
  };
}

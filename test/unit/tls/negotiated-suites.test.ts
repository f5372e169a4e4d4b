import { once } from 'node:events';
import tls from 'node:tls';

import { describe, expect, it } from 'vitest';

import { cipherSuites, type CipherSuite } from '../../../lib/tls/cipher-suites.js';
import { ContentType, ProtocolVersion, protocolVersion } from '../../../lib/tls/constants.js';
import { ServerHelloScanner } from '../../../lib/tls/handshake-messages.js';
import {
  kernelMaterial,
  keyBlock,
  nextExplicitNonce,
  trafficKeys,
  type WriteKeys,
} from '../../../lib/tls/key-schedule.js';
import { KeylogSecrets } from '../../../lib/tls/keylog.js';
import { RecordScanner } from '../../../lib/tls/record.js';
import {
  dsaCertificate,
  ecdsaCertificate,
  rsaCertificate,
  type Certificate,
} from '../../support/certificates.js';
import { handshake, splitRecords, type Handshake } from './real-handshake.js';
import { openRecord, sealRecord } from './record-protection.js';

const sides = ['client', 'server'] as const;
type Side = (typeof sides)[number];

const identity = 'someone';
const psk = Buffer.alloc(32, 7);

/** What a server and a client must be told to negotiate this one suite. */
function optionsFor(suite: CipherSuite): [tls.TlsOptions, tls.ConnectionOptions] {
  const tls13 = suite.version === ProtocolVersion.TLS13;
  const version: tls.SecureVersion = tls13 ? 'TLSv1.3' : 'TLSv1.2';
  const common = {
    // Security level 0 for anonymous suites and DSA; in TLS 1.3 a level is no part of the list.
    ciphers: tls13 ? suite.name : `${suite.name}:@SECLEVEL=0`,
    minVersion: version,
    maxVersion: version,
  };
  if (!suite.name.includes('PSK-')) {
    const certificate = suite.name.startsWith('ADH') ? {} : certificateFor(suite.name);
    return [{ ...common, ...certificate, dhparam: 'auto' }, common];
  }
  const certificate = suite.name.startsWith('RSA-PSK') ? rsaCertificate() : {};
  return [
    { ...common, ...certificate, dhparam: 'auto', pskCallback: () => psk },
    { ...common, pskCallback: () => ({ psk, identity }), checkServerIdentity: () => undefined },
  ];
}

function certificateFor(suiteName: string): Certificate {
  if (suiteName.includes('DSS')) return dsaCertificate();
  return /ECDSA|^TLS_/.test(suiteName) ? ecdsaCertificate() : rsaCertificate();
}

function secretsOf(lines: Buffer[]): KeylogSecrets {
  const secrets = new KeylogSecrets();
  for (const line of lines) secrets.add(line);
  return secrets;
}

function readServerHello(stream: Buffer): ServerHelloScanner {
  const hello = new ServerHelloScanner();
  const scanner = new RecordScanner((type, fragment) => {
    if (type === ContentType.handshake && !hello.done) hello.push(fragment);
  });
  scanner.push(stream);
  expect(scanner).toMatchObject({ malformed: false, atBoundary: true });
  return hello;
}

function deriveKeys(
  suite: CipherSuite,
  secrets: KeylogSecrets,
  serverRandom: Buffer,
): Record<Side, WriteKeys> {
  if (suite.version === ProtocolVersion.TLS12) {
    return keyBlock(suite, secrets.masterSecret!, secrets.clientRandom!, serverRandom);
  }
  return {
    client: trafficKeys(suite, secrets.clientTrafficSecret!),
    server: trafficKeys(suite, secrets.serverTrafficSecret!),
  };
}

const messages: Record<Side, string> = { client: 'a question', server: 'its answer' };

async function exchange({ client, server }: Handshake): Promise<void> {
  const asked = once(server, 'data');
  client.write(messages.client);
  expect(String((await asked)[0])).toBe(messages.client);
  const answered = once(client, 'data');
  server.write(messages.server);
  expect(String((await answered)[0])).toBe(messages.server);
}

/** The protected records of one direction: after its ChangeCipherSpec, which both versions send. */
function protectedRecords(stream: Buffer): Buffer[] {
  const records = splitRecords(stream);
  const changed = records.findLastIndex(([type]) => type === ContentType.changeCipherSpec);
  return records.slice(changed + 1);
}

/** The last record and its explicit nonce, with what `RecordScanner` says of the one before. */
function explicitNonces(suite: CipherSuite, stream: Buffer): [Buffer | null, Buffer | null] {
  const [before, last] = new RecordScanner().push(stream).slice(-2);
  if (suite.explicitNonceLength === 0) return [null, null];
  return [before!.prefix, last!.prefix];
}

describe('a row of the table agrees with what OpenSSL really does', () => {
  for (const suite of cipherSuites) {
    it(suite.name, { timeout: 60_000 }, async () => {
      const connection = await handshake(...optionsFor(suite));
      try {
        await exchange(connection);
        const { client, sent, keylog } = connection;

        expect(client.getCipher()).toMatchObject({
          name: suite.name,
          standardName: suite.standardName,
        });
        expect(protocolVersion(client.getProtocol())).toBe(suite.version);

        const { serverHello } = readServerHello(sent.server);
        expect(serverHello).toMatchObject({
          cipherSuiteId: suite.id,
          version: suite.version,
          isHelloRetryRequest: false,
        });

        const keys = deriveKeys(suite, secretsOf(keylog.client), serverHello!.serverRandom);
        expect(deriveKeys(suite, secretsOf(keylog.server), serverHello!.serverRandom)).toEqual(
          keys,
        );

        // FACTS: sequence numbers of the first application record, by side and version. In TLS 1.3 a
        // server with a certificate has sent two tickets; in TLS 1.2 both have sent Finished.
        const tls13 = suite.version === ProtocolVersion.TLS13;
        const sequences = tls13 ? { client: 0n, server: 2n } : { client: 1n, server: 1n };
        for (const side of sides) {
          const record = splitRecords(sent[side]).at(-1)!;
          const [nonceBefore, nonce] = explicitNonces(suite, sent[side]);
          const kernelNonce = nonceBefore && nextExplicitNonce(nonceBefore);
          expect(kernelNonce).toEqual(nonce);

          const sequence = sequences[side];
          const material = kernelMaterial(suite, keys[side], kernelNonce, sequence);
          const opened = {
            contentType: ContentType.applicationData,
            plaintext: Buffer.from(messages[side]),
          };
          expect(openRecord(suite, material, sequence, record)).toEqual(opened);
          expect(openRecord(suite, material, sequence + 1n, record)).toBeNull();
          expect(sealRecord(suite, material, sequence, opened)).toEqual(record);
          expect(record.length).toBe(messages[side].length + suite.recordOverhead);
          if (!tls13) expect(protectedRecords(sent[side])).toHaveLength(2);
        }
      } finally {
        connection.close();
      }
    });
  }
});

describe('what the server hello scanner makes of real handshakes', () => {
  it('goes on past a HelloRetryRequest', async () => {
    const connection = await handshake(
      { ...ecdsaCertificate(), ecdhCurve: 'P-384' },
      { ecdhCurve: 'P-256:P-384' },
    );
    connection.close();
    const hellos: boolean[] = [];
    const scanner = new ServerHelloScanner();
    for (const record of splitRecords(connection.sent.server)) {
      if (record[0] !== ContentType.handshake) continue;
      scanner.push(record.subarray(5));
      hellos.push(scanner.serverHello!.isHelloRetryRequest);
    }
    expect(hellos).toEqual([true, false]);
    expect(scanner).toMatchObject({ done: true, malformed: false });
    expect(scanner.serverHello!.version).toBe(ProtocolVersion.TLS13);
  });
});

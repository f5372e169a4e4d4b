import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';

import { expect, it } from 'vitest';

import { cipherSuiteByName, cipherSuites } from '../../../lib/tls/cipher-suites.js';
import { ContentType, ProtocolVersion } from '../../../lib/tls/constants.js';
import { kernelMaterial, nextTrafficSecret, trafficKeys } from '../../../lib/tls/key-schedule.js';
import { KeylogSecrets } from '../../../lib/tls/keylog.js';
import { PostHandshakeParser } from '../../../lib/tls/post-handshake.js';
import { ecdsaCertificate } from '../../support/certificates.js';
import { tap } from '../../support/wire.js';
import { splitRecords } from './real-handshake.js';
import { openRecord, type Opened } from './record-protection.js';

/** What a KeyUpdate by the `openssl` command, which asks for ours, leaves on the wire. */
async function updateKeys(ciphers: string) {
  const secrets = new KeylogSecrets();
  const server = tls.createServer({ ...ecdsaCertificate(), minVersion: 'TLSv1.3', ciphers });
  server.on('keylog', (line: Buffer) => secrets.add(line));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const wire = await tap((server.address() as AddressInfo).port);
  const address = `127.0.0.1:${wire.port}`;
  const client = spawn('openssl', ['s_client', '-connect', address, '-ciphersuites', ciphers]);
  try {
    const [socket] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
    socket.on('error', () => undefined);
    const asked = once(socket, 'data');
    const before = Buffer.concat(wire.toServer).length;
    client.stdin.write('K\n'); // a command of s_client, as long as it is a line of its own
    while (Buffer.concat(wire.toServer).length === before) await delay(5);
    client.stdin.write('question\n');
    expect(String((await asked)[0])).toBe('question\n');
    let printed = '';
    client.stdout.on('data', (text: Buffer) => (printed += text.toString()));
    socket.write('answer\n');
    while (!printed.includes('answer')) await delay(5);
    return {
      secrets,
      toServer: splitRecords(Buffer.concat(wire.toServer)),
      toClient: splitRecords(Buffer.concat(wire.toClient)),
    };
  } finally {
    client.kill();
    await wire.close();
    server.close();
  }
}

/** Every record after the handshake, its generation of keys found by trying the next one too. */
function openAll(ciphers: string, firstSecret: Buffer, records: Buffer[]) {
  const suite = cipherSuiteByName(ciphers, ProtocolVersion.TLS13)!;
  const found: (Opened & { generation: number })[] = [];
  let secret = firstSecret;
  let generation = 0;
  let sequence = 0n;
  const open = (record: Buffer): Opened | null =>
    openRecord(
      suite,
      kernelMaterial(suite, trafficKeys(suite, secret), null, sequence),
      sequence,
      record,
    );
  for (const record of records) {
    let opened = open(record);
    if (opened === null && sequence > 0n) {
      secret = nextTrafficSecret(suite, secret);
      generation++;
      sequence = 0n;
      opened = open(record);
      expect(opened).not.toBeNull();
    }
    if (opened === null) continue; // still the handshake's keys
    found.push({ ...opened, generation });
    sequence++;
  }
  return found;
}

const handshakeRecord = (opened: Opened): unknown =>
  opened.contentType === ContentType.handshake
    ? new PostHandshakeParser().push(opened.plaintext)
    : opened.plaintext.toString();

const suiteNames = cipherSuites
  .filter(({ version }) => version === ProtocolVersion.TLS13)
  .map(({ name }) => name);

it.each(suiteNames)('%s: both directions go on under the next secret', async (name) => {
  const { secrets, toServer, toClient } = await updateKeys(name);

  const fromClient = openAll(name, secrets.clientTrafficSecret!, toServer);
  expect(fromClient.map((opened) => [opened.generation, handshakeRecord(opened)])).toEqual([
    [0, [{ kind: 'key-update', updateRequested: true }]],
    [1, 'question\n'],
  ]);

  const fromServer = openAll(name, secrets.serverTrafficSecret!, toClient);
  const ticket = [{ kind: 'new-session-ticket', raw: expect.any(Buffer) as Buffer }];
  expect(fromServer.map((opened) => [opened.generation, handshakeRecord(opened)])).toEqual([
    [0, ticket],
    [0, ticket],
    [0, [{ kind: 'key-update', updateRequested: false }]],
    [1, 'answer\n'],
  ]);
});

/** What the records before a KeyUpdate have added to the stream is counted to the byte: FIN waits for it. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import type { Installed } from '../../../lib/kernel/install.js';
import { Rekeying } from '../../../lib/kernel/rekey.js';
import { cipherSuiteByName } from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';
import { FakeChannel } from '../../support/fake-channel.js';

const { ENOMEM } = constants.errno;
const version = ProtocolVersion.TLS13;
const suite = cipherSuiteByName('TLS_AES_128_GCM_SHA256', version)!;
const TICKETS = 2n;
const IN_TCP = 1000;
/** Records of data behind those of node:tls. */
const RECORDS = 5;

class KeyedChannel extends FakeChannel {
  /** What `sendfile` has left open: the kernel sends it ahead of a record of another type. */
  open = false;
  /** Whether the kernel does not tell the number of its records behind the KeyUpdate. */
  silent = false;

  override sendRecord(type: number, payload: Uint8Array): number {
    const records = this.open ? 2n : 1n;
    this.sequence = this.silent ? -ENOMEM : BigInt(this.sequence) + records;
    return super.sendRecord(type, payload);
  }

  installKeys(): number {
    this.sequence = 0n;
    return 0;
  }
}

const installed: Installed = {
  ...{ suite, version, bytesInTcp: IN_TCP, firstSendSequence: TICKETS },
  fragmentLimit: null,
};

it.each([
  ['of data and the KeyUpdate', {}, RECORDS + 1],
  ['that was open and went ahead of the KeyUpdate', { open: true }, RECORDS + 2],
  ['also where the kernel does not tell how many there are by then', { silent: true }, RECORDS + 1],
])('each record is counted, %s', (_, state, records) => {
  const channel = Object.assign(new KeyedChannel(0), state, {
    sequence: TICKETS + BigInt(RECORDS),
  });
  const rekeying = new Rekeying(channel.asChannel(), randomBytes(32), randomBytes(32));
  expect(rekeying.send(installed, false)).toEqual({
    ...installed,
    bytesInTcp: IN_TCP + records * suite.recordOverhead,
    firstSendSequence: 0n,
  });
});

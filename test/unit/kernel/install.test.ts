import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { install } from '../../../lib/kernel/install.js';
import type { Plan } from '../../../lib/kernel/plan.js';
import { cipherSuiteByName } from '../../../lib/tls/cipher-suites.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';
import { FakeChannel } from '../../support/fake-channel.js';

const { EAGAIN, EPERM } = constants.errno;
const suite = cipherSuiteByName('TLS_AES_128_GCM_SHA256', ProtocolVersion.TLS13)!;

it('refuses, before any key, what could not be closed safely: TCP does not tell its count', () => {
  // It has no `installKeys`: to call it would throw.
  const channel = new FakeChannel(-EAGAIN);
  channel.inTcp = -EPERM;
  let wiped = false;
  const keys = () => ({ key: Buffer.alloc(16), iv: Buffer.alloc(12) });
  const plan: Plan = {
    suite,
    receiveSequence: 0n,
    fragmentLimit: null,
    deriveKeys: () => ({ send: keys(), receive: keys(), wipe: () => void (wiped = true) }),
  };
  expect(install(channel.asChannel(), plan, { sequence: 0n, nextNonce: null })).toMatchObject({
    name: 'KtlsError',
    code: 'ERR_KTLS_SANDBOX',
    syscall: 'getsockopt',
    errno: -EPERM,
  });
  expect(wiped).toBe(true);
});

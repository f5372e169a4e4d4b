/**
 * The kernel is asked what it takes when a connection first wants it. Where that fails for want of something,
 * this connection is carried by node:tls, with the true reason, and later ones are offloaded.
 */
import { beforeAll, expect, it, vi } from 'vitest';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { KernelCipher } from '../../lib/tls/cipher-suites.js';
import { type Errno, type FaultyCall, fault, withFaults } from '../support/faults.js';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

interface Outcome {
  readonly offloaded: boolean;
  readonly reason: string | null;
  readonly detail: string | null;
  /** What was sent has come back. */
  readonly exchanged: boolean;
  readonly updatesKeys: boolean;
}

interface Case {
  readonly name: string;
  readonly call: FaultyCall;
  readonly errno: Errno;
  readonly nth: number;
  readonly cipher: string;
}

/** Each of something that the process has not asked about yet. */
const shortages: readonly Case[] = [
  {
    // Of the cipher's own probe and, behind it, that of the change of keys.
    name: 'memory for the probe of KeyUpdate',
    call: 'tx',
    errno: 'ENOMEM',
    nth: 2,
    cipher: 'TLS_AES_128_GCM_SHA256',
  },
  {
    name: 'descriptors',
    call: 'socket',
    errno: 'EMFILE',
    nth: 0,
    cipher: 'TLS_AES_256_GCM_SHA384',
  },
  {
    name: 'memory for the sending key',
    call: 'tx',
    errno: 'ENOMEM',
    nth: 1,
    cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  },
  {
    name: 'memory for the receiving key',
    call: 'rx',
    errno: 'ENOBUFS',
    nth: 1,
    cipher: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  },
];

const body = `
  async function one(cipher) {
    const maxVersion = cipher.startsWith('TLS_') ? 'TLSv1.3' : 'TLSv1.2';
    const ciphers = cipher + (maxVersion === 'TLSv1.3' ? ':DEFAULT' : '');
    const { listener, client, server: accepting } = await pair({ maxVersion, ciphers });
    accepting.pipe(accepting);
    client.write('there and back');
    const [data] = await once(client, 'data');
    const { offloaded, reason, detail } = client.offload;
    const updatesKeys = await client.updateKeys?.().then(() => true, () => false) ?? false;
    client.end();
    await once(client, 'close');
    listener.close();
    return { offloaded, reason, detail, exchanged: data.toString() === 'there and back', updatesKeys };
  }

  // That the kernel has TLS at all is known from here on.
  await one('TLS_CHACHA20_POLY1305_SHA256');
  for (const { cipher, fault } of given.cases) {
    process.env.KTLS_FAULT = fault;
    const first = await one(cipher);
    process.env.KTLS_FAULT = '';
    let later = await one(cipher);
    while (given.passes && !later.offloaded) later = await one(cipher);
    say('result', JSON.stringify([first, later]));
  }
`;

async function run(cases: readonly Case[], passes: boolean): Promise<[Outcome, Outcome][]> {
  const given = {
    passes,
    cases: cases.map(({ call, errno, nth, cipher }) => ({
      cipher,
      fault: fault(call, errno, nth),
    })),
  };
  const ended = await runScript(body, { env: withFaults(), given, deadline: 80_000 });
  expect(ended).toMatchObject(clean);
  return [...ended.stdout.matchAll(/^result (.*)$/gm)].map(
    ([, json]) => JSON.parse(json!) as [Outcome, Outcome],
  );
}

describeKernel('a want of', () => {
  let outcomes: [Outcome, Outcome][];
  beforeAll(async () => {
    outcomes = await run(shortages, true);
  }, scriptTimeout.testTimeout);

  for (const [index, { name, errno, cipher }] of shortages.entries()) {
    it(`${name} refuses a connection, and not those behind it`, () => {
      const [first, later] = outcomes[index]!;
      expect(first).toMatchObject({
        offloaded: false,
        reason: 'ERR_KTLS_RESOURCES',
        exchanged: true,
      });
      expect(first.detail).toContain(errno);
      expect(later).toMatchObject({
        offloaded: true,
        exchanged: true,
        updatesKeys: cipher.startsWith('TLS_') && kernelRekeys(KernelCipher.aesGcm128),
      });
    });
  }
});

describeKernel('a kernel that does not tell how many records it has sent', () => {
  it('is not given the connections whose last record it could lose', async () => {
    // As before Linux 5.16.
    const cipher = 'TLS_AES_128_CCM_SHA256';
    const silent = { name: cipher, call: 'count', errno: 'EINVAL', nth: 0, cipher } as const;
    const [[first, later]] = (await run([silent], false)) as [[Outcome, Outcome]];
    for (const outcome of [first, later]) {
      expect(outcome).toMatchObject({
        offloaded: false,
        reason: 'ERR_KTLS_CIPHER',
        exchanged: true,
      });
      expect(outcome.detail).toMatch(/does not tell how many records it has sent/);
    }
  });
});

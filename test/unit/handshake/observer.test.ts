/** The counts of real handshakes: those that the kernel must be given (FACTS: "Record counts"). */
import { constants } from 'node:crypto';
import type { ConnectionOptions, TlsOptions } from 'node:tls';
import * as tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { HandshakeObserver } from '../../../lib/handshake/observer.js';
import { clientCertificate, ecdsaCertificate } from '../../support/certificates.js';
import { type Observed, observedHandshake } from '../../support/observed-handshake.js';

const v12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
const v13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
const psk = Buffer.alloc(32, 9);

/** `[sent, received]` of each side. */
interface Counts {
  server: [bigint, bigint];
  client: [bigint, bigint];
}

function counts({ server, client }: Observed): Counts {
  const of = (observer: HandshakeObserver): [bigint, bigint] => [
    observer.sendState.sequence,
    observer.receiveSequence,
  ];
  return { server: of(server), client: of(client) };
}

const finished: Counts = { server: [1n, 1n], client: [1n, 1n] };
const twoTickets: Counts = { server: [2n, 0n], client: [0n, 0n] };
const oneTicket: Counts = { server: [1n, 0n], client: [0n, 0n] };

const clientAuth = (): [TlsOptions, ConnectionOptions] => {
  const { key, cert } = clientCertificate();
  return [
    { requestCert: true, ca: cert },
    { key, cert },
  ];
};
const external = (ciphers: string): [TlsOptions, ConnectionOptions] => [
  { ciphers, pskCallback: () => psk },
  {
    ciphers,
    pskCallback: () => ({ psk, identity: 'somebody' }),
    checkServerIdentity: () => undefined,
  },
];

type Case = [name: string, options: () => [TlsOptions, ConnectionOptions], expected: Counts];
const cases: Case[] = [
  ['TLS 1.3, full', () => [v13, v13], twoTickets],
  [
    'TLS 1.3, HelloRetryRequest',
    () => [
      { ...v13, ecdhCurve: 'P-384' },
      { ...v13, ecdhCurve: 'P-256:P-384' },
    ],
    twoTickets,
  ],
  [
    'TLS 1.3, client certificate',
    () => {
      const [server, client] = clientAuth();
      return [
        { ...v13, ...server },
        { ...v13, ...client },
      ];
    },
    twoTickets,
  ],
  [
    'TLS 1.3, no ticket: stateful ones',
    () => [{ ...v13, secureOptions: constants.SSL_OP_NO_TICKET }, v13],
    twoTickets,
  ],
  [
    'TLS 1.3, external PSK',
    () => {
      const [server, client] = external('TLS_AES_128_GCM_SHA256');
      return [
        { ...v13, ...server },
        { ...v13, ...client },
      ];
    },
    oneTicket,
  ],
  ['TLS 1.2, full', () => [v12, v12], finished],
  [
    'TLS 1.2, client certificate',
    () => {
      const [server, client] = clientAuth();
      return [
        { ...v12, ...server },
        { ...v12, ...client },
      ];
    },
    finished,
  ],
  [
    'TLS 1.2, no ticket',
    () => [{ ...v12, secureOptions: constants.SSL_OP_NO_TICKET }, v12],
    finished,
  ],
  [
    'TLS 1.2, PSK',
    () => {
      const [server, client] = external('PSK-AES128-GCM-SHA256');
      return [
        { ...v12, ...server },
        { ...v12, ...client },
      ];
    },
    finished,
  ],
];

async function observing(
  options: [TlsOptions, ConnectionOptions],
  body: (observed: Observed) => void | Promise<void>,
  listener?: tls.Server,
): Promise<void> {
  const observed = await observedHandshake(...options, listener);
  try {
    await body(observed);
  } finally {
    observed.sockets.client.destroy();
    observed.sockets.server.destroy();
  }
}

describe('HandshakeObserver counts the records under the final keys', () => {
  for (const [name, options, expected] of cases) {
    it(name, () =>
      observing(options(), (observed) => {
        expect(counts(observed)).toEqual(expected);
      }),
    );
  }

  for (const [name, limits, expected] of [
    ['TLS 1.3', v13, { server: [0n, 0n], client: [0n, 0n] } satisfies Counts],
    ['TLS 1.2', v12, finished],
  ] as const) {
    it(`${name}, resumed by ticket`, async () => {
      const listener = tls.createServer({ ...ecdsaCertificate(), ...limits });
      let session: Buffer | undefined;
      await observing([{}, limits], (first) => void (session = first.session), listener);
      listener.removeAllListeners('keylog');
      const again: [TlsOptions, ConnectionOptions] = [{}, { ...limits, session: session! }];
      await observing(
        again,
        (observed) => {
          expect(observed.sockets.client.isSessionReused()).toBe(true);
          expect(counts(observed)).toEqual(expected);
        },
        listener,
      );
    });
  }
});

describe('HandshakeObserver', () => {
  for (const [name, limits] of [
    ['TLS 1.3', v13],
    ['TLS 1.2', v12],
  ] as const) {
    it(`sees both sides through, between two records: ${name}`, () =>
      observing([limits, limits], ({ server, client }) => {
        for (const side of [server, client]) {
          expect(side.receivedAll).toBe(true);
          expect(side.sentFinished).toBe(true);
          expect(side.onRecordBoundary).toBe(true);
        }
      }));

    it(`has the same server random on both sides: ${name}`, () =>
      observing([limits, limits], ({ server, client }) => {
        expect(server.serverRandom).toHaveLength(32);
        expect(server.serverRandom).toEqual(client.serverRandom);
      }));
  }

  it('continues the explicit nonce of TLS 1.2 GCM behind the Finished', () =>
    observing([v12, { ...v12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }], ({ server, client }) => {
      for (const side of [server, client]) {
        expect(side.sendState.nextNonce).toHaveLength(8);
        expect(side.sendState.nextNonce).not.toEqual(Buffer.alloc(8));
      }
      expect(server.sendState.nextNonce).not.toEqual(client.sendState.nextNonce);
    }));

  it.each([
    ['ChaCha20-Poly1305 of TLS 1.2', { ...v12, ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }],
    ['TLS 1.3', v13],
  ])('knows no explicit nonce in %s', (_name, limits) =>
    observing([limits, limits], ({ server, client }) => {
      expect(server.sendState.nextNonce).toBeNull();
      expect(client.sendState.nextNonce).toBeNull();
    }),
  );

  /** A server's, which has sent its ServerHello of TLS 1.2: ECDHE-ECDSA-AES128-GCM-SHA256. */
  function server12(): HandshakeObserver {
    const observer = new HandshakeObserver(true);
    const hello = Buffer.concat([Buffer.of(3, 3), Buffer.alloc(33), Buffer.of(0xc0, 0x2b, 0)]);
    observer.sent(record(22, Buffer.concat([Buffer.of(2, 0, 0, hello.length), hello])));
    return observer;
  }
  const record = (type: number, payload: Buffer): Buffer =>
    Buffer.concat([Buffer.of(type, 3, 3, 0, payload.length), payload]);
  const changeCipherSpec = record(20, Buffer.of(1));
  const protectedRecord = (type: number, length: number): Buffer =>
    record(type, Buffer.alloc(8 + length + 16));

  it('waits for Finished behind a protected alert of TLS 1.2', () => {
    const observer = server12();
    observer.received(changeCipherSpec);
    for (let alert = 0; alert < 10; alert++) observer.received(protectedRecord(21, 2));
    expect(observer).toMatchObject({ receivedAll: false, receiveSequence: 10n });
    observer.received(protectedRecord(22, 16));
    expect(observer).toMatchObject({ receivedAll: true, receiveSequence: 11n, unframed: false });
  });

  it.each([
    [[16], false],
    [[10, 6], false],
    [[20], true],
    [[10, 10], true],
  ])('knows whether more than Finished came in records of %j bytes', (lengths, overrun) => {
    const observer = server12();
    observer.received(changeCipherSpec);
    for (const length of lengths) observer.received(protectedRecord(22, length));
    expect(observer).toMatchObject({ receivedAll: true, overrun });
  });

  it.each([
    ['a ClientHello of SSLv2', [Buffer.of(0x80, 0x2e), Buffer.of(1, 3, 3, 0, 21, 0, 0, 0, 16)]],
    ['a record cut short', [protectedRecord(22, 16).subarray(0, 30)]],
    ['two records in one', [Buffer.concat([changeCipherSpec, protectedRecord(22, 16)])]],
  ])('knows that it has not counted the records of a stream with %s', (_what, pieces) => {
    const observer = server12();
    expect(observer.unframed).toBe(false);
    for (const piece of pieces) observer.received(piece);
    observer.received(changeCipherSpec);
    observer.received(protectedRecord(22, 16));
    expect(observer).toMatchObject({ unframed: true, receivedAll: false });
  });

  it('has seen nothing before anything passed', () => {
    const fresh = new HandshakeObserver(true);
    expect(fresh).toMatchObject({
      receivedAll: false,
      serverRandom: null,
      onRecordBoundary: true,
    });
    expect(fresh.sendState).toEqual({ sequence: 0n, nextNonce: null });
  });
});

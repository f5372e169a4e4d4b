/** The device path of net/tls, through the simulated network card: this end's card against a far node:tls. */
import { afterAll, expect, it } from 'vitest';
import * as ktls from '../../lib/index.js';
import { digest, readExactly } from '../support/connection.js';
import { patternless } from '../support/content.js';
import {
  acceptFarClient,
  card,
  change,
  counters,
  describeNic,
  echo,
  peer,
  withFault,
} from '../support/nic.js';
import { Scratch } from '../support/scratch.js';

/** Whether the kernel says of one of its connections to the peer that it sends files without a copy. */
const kernelCopiesNot = (): boolean =>
  ktls
    .stats({ sockets: true })
    .sockets!.some((one) => one.peer.startsWith(peer.address) && one.zeroCopy);

describeNic('the simulated network card', (far) => {
  const scratch = new Scratch();
  afterAll(() => {
    scratch.remove();
  });

  it('takes over a TLS 1.2 connection with AES-GCM, both ways', async () => {
    let state: ktls.OffloadState | undefined;
    const moved = await change(async () => {
      state = await far.exchange('TLSv1.2', 1 << 20);
    });
    expect(state).toMatchObject({ offloaded: true, tx: 'device', rx: 'device' });
    expect(moved).toMatchObject({ TlsTxDevice: 1, TlsRxDevice: 1, TlsTxSw: 0, TlsDecryptError: 0 });
    expect(moved['tx_tls_encrypted_bytes']).toBeGreaterThan(1 << 20);
    expect(moved['tx_tls_drop']).toBe(0);
    expect(moved['rx_tls_auth_failed']).toBe(0);
  });

  it('decrypts records that come whole', async () => {
    const moved = await change(() => far.exchange('TLSv1.2', 1000));
    expect(moved['rx_tls_decrypted_packets']).toBeGreaterThan(0);
    expect(moved['TlsDecryptError']).toBe(0);
  });

  it('leaves TLS 1.3 to software', async () => {
    const moved = await change(async () => {
      const state = await far.exchange('TLSv1.3', 1 << 16);
      expect(state).toMatchObject({ tx: 'software', rx: 'software' });
    });
    expect(moved).toMatchObject({ TlsTxSw: 1, TlsTxDevice: 0, TlsRxSw: 1, TlsRxDevice: 0 });
    // The kernel does not even ask the card.
    expect(moved).toMatchObject({ tx_tls_ctx: 0, tx_tls_refused: 0, rx_tls_refused: 0 });
  });

  it.each([
    ['is left with TLS 1.3', {}, 'software'],
    ['may have the card', ktls.deviceOptions, 'device'],
  ])('%s: a server whose client wants anything', async (_, options, medium) => {
    await using client = await acceptFarClient(options);
    client.socket.write(await readExactly(client.socket, 1000));
    expect(client.socket.offload).toMatchObject({ tx: medium, rx: medium });
    expect(await client.program.said('equal')).toBe('true');
  });

  it.each([
    ['to send', 1, { tx: 'software', rx: 'device' }],
    ['to receive', 2, { tx: 'device', rx: 'software' }],
    ['both', 3, { tx: 'software', rx: 'software' }],
  ] as const)('falls back to software where the card refuses %s', async (_, refused, state) => {
    const moved = await change(() =>
      withFault('refuse', refused, async () => {
        expect(await far.exchange('TLSv1.2', 1 << 16)).toMatchObject({ offloaded: true, ...state });
      }),
    );
    const [tx, rx] = [Number(state.tx === 'device'), Number(state.rx === 'device')];
    expect(moved).toMatchObject({ TlsTxDevice: tx, tx_tls_ctx: tx, TlsTxSw: 1 - tx });
    expect(moved).toMatchObject({ TlsRxDevice: rx, rx_tls_ctx: rx, TlsRxSw: 1 - rx });
    expect(moved).toMatchObject({ tx_tls_refused: 1 - tx, rx_tls_refused: 1 - rx });
  });

  for (const [version, zeroCopy] of [
    ['TLSv1.2', true],
    ['TLSv1.3', false],
  ] as const) {
    it(`sends files, without a copy if it may and does the encryption (${version})`, async () => {
      const content = patternless(1 << 20);
      const file = scratch.write('file', content);
      const socket = await far.connect(version);
      expect(socket.offload).toMatchObject({
        tx: zeroCopy ? 'device' : 'software',
        zeroCopy: false,
      });
      const moved = await change(async () => {
        for (const immutable of [false, true, true, false]) {
          for (const [start, end] of [
            [0, content.length - 1],
            [5000, 90_000],
          ] as const) {
            const sent = ktls.sendFile(socket, file, { start, end, immutable });
            socket.write('between');
            const expected = Buffer.concat([
              content.subarray(start, end + 1),
              Buffer.from('between'),
            ]);
            const got = await readExactly(socket, expected.length);
            expect(digest(got)).toBe(digest(expected));
            expect(await sent).toBe(end + 1 - start);
            expect(socket.offload.zeroCopy).toBe(zeroCopy && immutable);
            expect(kernelCopiesNot()).toBe(zeroCopy && immutable);
          }
        }
      });
      socket.destroy();
      expect(moved['TlsDecryptError']).toBe(0);
      if (zeroCopy) expect(moved['tx_tls_encrypted_bytes']).toBeGreaterThan(4 * content.length);
    });
  }

  it('finds its place again after loss and reordering', async () => {
    const socket = await far.connect();
    /** One at a time: each piece is a packet of whole records, which is what the card can decrypt. */
    const pieces = async (enough: () => boolean): Promise<void> => {
      for (let sent = 0; sent < 1000 && !enough(); sent++) await echo(socket, 1000);
    };
    const start = counters();
    const isAbove = (name: string, before: Readonly<Record<string, number>>): boolean =>
      counters()[name]! > before[name]!;
    const moved = await change(() =>
      withFault('drop', 5, () =>
        withFault('reorder', 5, async () => {
          // Chance decides which packet is lost; one that is followed by others makes a gap.
          for (let tries = 0; tries < 20 && !isAbove('tx_tls_resync', start); tries++) {
            await echo(socket, 1 << 20);
          }
          await pieces(() => isAbove('rx_tls_resync', start));
        }),
      ),
    );
    expect(moved['tx_tls_ooo']).toBeGreaterThan(0);
    expect(moved['tx_tls_resync']).toBeGreaterThan(0);
    expect(moved['rx_tls_skipped']).toBeGreaterThan(0);
    expect(moved['rx_tls_resync']).toBeGreaterThan(0);
    const middle = counters();
    await pieces(
      () =>
        isAbove('tx_tls_encrypted_packets', middle) && isAbove('rx_tls_decrypted_packets', middle),
    );
    const end = counters();
    expect(end['tx_tls_encrypted_packets']).toBeGreaterThan(middle['tx_tls_encrypted_packets']!);
    expect(end['rx_tls_decrypted_packets']).toBeGreaterThan(middle['rx_tls_decrypted_packets']!);
    expect(end['TlsDecryptError']).toBe(start['TlsDecryptError']);
    expect(socket.offload).toMatchObject({ tx: 'device', rx: 'device' });
    socket.destroy();
  });

  it('is what the table of sockets says it is', async () => {
    const socket = await far.connect();
    const { interfaces, sockets } = ktls.stats({ interfaces: true, sockets: true });
    expect(interfaces[card.name]!['tx_tls_ctx']).toBeGreaterThan(0);
    expect(sockets).toContainEqual(
      expect.objectContaining({
        peer: far.address,
        version: 'TLSv1.2',
        tx: 'device',
        rx: 'device',
      }),
    );
    socket.destroy();
  });
});

/** The device path of net/tls, through the simulated network card: this end's card against a far node:tls. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkInterface } from '../../lib/doctor/interfaces.js';
import { thisSystem } from '../../lib/doctor/system.js';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { digest, readExactly } from '../support/connection.js';
import { patternless } from '../support/content.js';
import {
  FarScript,
  card,
  cardCounters,
  describeNic,
  peer,
  plugIn,
  unplug,
  withFault,
} from '../support/nic.js';
import { Scratch } from '../support/scratch.js';

const echo = `
  const tls = await import('node:tls');
  const server = tls.createServer(${JSON.stringify(ecdsaCertificate())}, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.on('tlsClientError', (error) => console.log('refused', error.message));
  server.listen(0, '${peer.address}', () => console.log('port', server.address().port));
`;

/** Whether the kernel says of one of its connections to the peer that it sends files without a copy. */
const kernelCopiesNot = (): boolean =>
  ktls
    .stats({ sockets: true })
    .sockets!.some((one) => one.peer.startsWith(peer.address) && one.zeroCopy);

describeNic('the simulated network card', () => {
  const scratch = new Scratch();
  let far: FarScript;
  let port: number;

  beforeAll(async () => {
    // Its own connections over loopback are counted too.
    ktls.probe();
    plugIn();
    far = new FarScript(echo);
    port = Number(await far.said('port'));
  });
  afterAll(async () => {
    await far[Symbol.asyncDispose]();
    unplug();
    scratch.remove();
  });

  /** Sends `size` bytes, and compares what comes back. */
  async function exchange(
    version: 'TLSv1.2' | 'TLSv1.3',
    size: number,
  ): Promise<ktls.OffloadState> {
    const socket = ktls.connect({
      host: peer.address,
      port,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256',
    });
    await once(socket, 'secureConnect');
    const state = socket.offload;
    const sent = randomBytes(size);
    socket.write(sent);
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of socket) {
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= size) break;
    }
    socket.destroy();
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
    return state;
  }

  const change = async (body: () => Promise<unknown>): Promise<Record<string, number>> => {
    const before = { ...ktls.stats(), ...cardCounters() };
    await body();
    const after = { ...ktls.stats(), ...cardCounters() };
    return Object.fromEntries(
      Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]),
    );
  };

  it('takes over a TLS 1.2 connection with AES-GCM, both ways', async () => {
    let state: ktls.OffloadState | undefined;
    const moved = await change(async () => {
      state = await exchange('TLSv1.2', 1 << 20);
    });
    expect(state).toMatchObject({ offloaded: true, tx: 'device', rx: 'device' });
    expect(moved).toMatchObject({ TlsTxDevice: 1, TlsRxDevice: 1, TlsTxSw: 0, TlsDecryptError: 0 });
    expect(moved['tx_tls_encrypted_bytes']).toBeGreaterThan(1 << 20);
    expect(moved['tx_tls_drop']).toBe(0);
    expect(moved['rx_tls_auth_failed']).toBe(0);
  });

  it('decrypts records that come whole', async () => {
    const moved = await change(() => exchange('TLSv1.2', 1000));
    expect(moved['rx_tls_decrypted_packets']).toBeGreaterThan(0);
    expect(moved['TlsDecryptError']).toBe(0);
  });

  it('leaves TLS 1.3 to software', async () => {
    const moved = await change(async () => {
      expect(await exchange('TLSv1.3', 1 << 16)).toMatchObject({ tx: 'software', rx: 'software' });
    });
    expect(moved).toMatchObject({ TlsTxSw: 1, TlsTxDevice: 0, tx_tls_ctx: 0 });
  });

  it('falls back to software where the card refuses', async () => {
    const state = await withFault('refuse', 3, () => exchange('TLSv1.2', 1 << 16));
    expect(state).toMatchObject({ offloaded: true, tx: 'software', rx: 'software' });
  });

  for (const [version, zeroCopy] of [
    ['TLSv1.2', true],
    ['TLSv1.3', false],
  ] as const) {
    it(`sends files, without a copy if it may and does the encryption (${version})`, async () => {
      const content = patternless(1 << 20);
      const file = scratch.write('file', content);
      const socket = ktls.connect({
        host: peer.address,
        port,
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
      });
      await once(socket, 'secureConnect');
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

  it('finds its place again under loss and reordering', async () => {
    const moved = await change(() =>
      withFault('drop', 5, () => withFault('reorder', 5, () => exchange('TLSv1.2', 2 << 20))),
    );
    expect(moved['tx_tls_ooo']).toBeGreaterThan(0);
    expect(moved['TlsDecryptError']).toBe(0);
  });

  it('is what the doctor and the counters say it is', async () => {
    const findings = checkInterface(thisSystem, card.name, true);
    const verdict = (check: string) => findings.find((each) => each.check === check);
    expect(verdict('interface.tls-hw-tx-offload')).toMatchObject({ verdict: 'pass' });
    expect(verdict('interface.tls-hw-rx-offload')).toMatchObject({ verdict: 'pass' });
    expect(verdict('interface.driver')!.why).toBe('ktlsim, firmware simulated.');
    const socket = ktls.connect({
      host: peer.address,
      port,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    });
    await once(socket, 'secureConnect');
    const { interfaces, sockets } = ktls.stats({ interfaces: true, sockets: true });
    expect(interfaces[card.name]!['tx_tls_ctx']).toBeGreaterThan(0);
    expect(sockets).toContainEqual(
      expect.objectContaining({
        peer: `${peer.address}:${port}`,
        version: 'TLSv1.2',
        tx: 'device',
        rx: 'device',
      }),
    );
    socket.destroy();
  });
});

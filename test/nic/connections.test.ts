/** As many connections on the simulated network card as a server has on a quiet day. */
import { once } from 'node:events';
import { expect, it } from 'vitest';
import * as ktls from '../../lib/index.js';
import { counters, describeNic, echo } from '../support/nic.js';

const CONNECTIONS = 1000;
/** So many handshakes at a time. */
const AT_ONCE = 50;

/** What connections there are. */
const current = (): object => {
  const { TlsCurrTxDevice, TlsCurrRxDevice, TlsCurrTxSw, TlsCurrRxSw } = counters();
  return { TlsCurrTxDevice, TlsCurrRxDevice, TlsCurrTxSw, TlsCurrRxSw };
};

const none = { TlsCurrTxDevice: 0, TlsCurrRxDevice: 0, TlsCurrTxSw: 0, TlsCurrRxSw: 0 };

describeNic('a thousand connections', (far) => {
  // Two ECDSA handshakes for each, under emulation.
  it(
    'are all on the card at the same time, and leave nothing on it',
    { timeout: 900_000 },
    async () => {
      await expect.poll(current).toEqual(none);
      const start = counters();
      const sockets: ktls.ClientSocket[] = [];
      while (sockets.length < CONNECTIONS) {
        const more = await Promise.all(Array.from({ length: AT_ONCE }, () => far.connect()));
        sockets.push(...more);
      }
      const full = counters();
      for (const name of [
        ...['TlsTxDevice', 'TlsRxDevice', 'TlsCurrTxDevice', 'TlsCurrRxDevice'],
        ...['tx_tls_ctx', 'rx_tls_ctx'],
      ]) {
        expect(full[name]! - start[name]!, name).toBe(CONNECTIONS);
      }
      const modes = sockets.map(({ offload }) => `${offload.tx} ${offload.rx}`);
      expect(modes.filter((each) => each !== 'device device')).toEqual([]);
      const table = ktls
        .stats({ sockets: true })
        .sockets!.filter(
          (one) => one.peer === far.address && one.tx === 'device' && one.rx === 'device',
        );
      expect(table).toHaveLength(CONNECTIONS);

      await Promise.all(sockets.map((socket) => echo(socket, 5000)));
      const used = counters();
      expect(used['tx_tls_encrypted_bytes']! - full['tx_tls_encrypted_bytes']!).toBeGreaterThan(
        CONNECTIONS * 5000,
      );
      expect(used['TlsDecryptError']).toBe(start['TlsDecryptError']);

      // Half in order, half not.
      const closed = sockets.map((socket) => once(socket, 'close'));
      for (const [number, socket] of sockets.entries()) {
        if (number % 2 === 0) socket.end();
        else socket.destroy();
        socket.resume();
      }
      await Promise.all(closed);
      await expect.poll(current, { timeout: 300_000 }).toEqual(none);
      const end = counters();
      expect(end['tx_tls_del']! - start['tx_tls_del']!).toBe(CONNECTIONS);
      expect(end['rx_tls_del']! - start['rx_tls_del']!).toBe(CONNECTIONS);
    },
  );
});

/**
 * `expectNoPadding`: the kernel decrypts straight into the reader's buffer, and once more what is padded or
 * carries no data. The application sees what it sees without it.
 */
import { expect, it } from 'vitest';
import { tlsCounters } from '../../lib/kernel/counters.js';
import { kernelFeatures } from '../../lib/kernel/features.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { tlsSockets } from '../../lib/kernel/tls-sockets.js';
import { KernelCipher } from '../../lib/tls/cipher-suites.js';
import type { AnySocket } from '../support/connection.js';
import { patternless } from '../support/content.js';
import { describeKernel } from '../support/kernel.js';
import {
  closeNotify,
  data,
  handshake,
  keyUpdate,
  newSessionTicket,
} from '../support/record-peer.js';
import { type Role, roles, scripted } from '../support/scripted.js';
import { Witness } from '../support/witness.js';

const options = { expectNoPadding: true };
/** Else padding would be taken for data, and the kernel is not told. */
const works = kernelFeatures().noPad === 0;

/** What the kernel says of the socket. */
function isExpected(socket: AnySocket): boolean | undefined {
  const ports = [socket.localPort, socket.remotePort].join();
  const portsOf = (...addresses: string[]): string =>
    addresses.map((address) => address.slice(address.lastIndexOf(':') + 1)).join();
  return tlsSockets()!.find(({ local, peer }) => portsOf(local, peer) === ports)?.noPad;
}

/** What a peer may send between its data. */
function betweenData(role: Role): Buffer {
  return role === 'client' ? newSessionTicket() : keyUpdate(false);
}

describeKernel('Where no padding is expected', () => {
  for (const role of roles) {
    it(`the kernel is told, and whole records arrive (${role})`, async () => {
      await using scene = await scripted(role, 'TLSv1.3', { options });
      const { peer, socket } = scene;
      expect(isExpected(socket)).toBe(works);
      const content = patternless(400_000);
      const witness = new Witness(socket);
      const before = tlsCounters()!;
      for (let at = 0; at < content.length; at += 16_384) {
        peer.send(data(content.subarray(at, at + 16_384)));
      }
      expect(await witness.received(content.length)).toBe(content.toString('latin1'));
      peer.send(closeNotify);
      await witness.until('end');
      const after = tlsCounters()!;
      expect(after['TlsRxNoPadViolation']).toBe(before['TlsRxNoPadViolation']);
      expect(after['TlsDecryptError']).toBe(before['TlsDecryptError']);
    });

    it(`padded records, and such as carry no data, arrive too (${role})`, async () => {
      await using scene = await scripted(role, 'TLSv1.3', { options });
      const { peer, socket } = scene;
      const witness = new Witness(socket);
      const before = tlsCounters()!;
      peer.sendRaw(Buffer.concat([peer.seal(data('ab'), 300), peer.seal(data('cd'), 1)]));
      peer.sendRaw(Buffer.concat([peer.seal(data(''), 16_000), peer.seal(data('ef'))]));
      expect(await witness.received(6)).toBe('abcdef');
      if (role === 'client' || kernelRekeys(KernelCipher.aesGcm128)) {
        peer.send(data('gh'), handshake(betweenData(role)));
        if (role === 'server') peer.updateSendKeys();
        expect(isExpected(socket)).toBe(works);
      } else {
        peer.send(data('gh'));
      }
      peer.sendRaw(peer.seal(data('ij'), 20));
      expect(await witness.received(10)).toBe('abcdefghij');
      const after = tlsCounters()!;
      const violations = after['TlsRxNoPadViolation']! - before['TlsRxNoPadViolation']!;
      expect(violations > 0).toBe(works);
      expect(after['TlsDecryptError']).toBe(before['TlsDecryptError']);
      peer.sendRaw(peer.seal(closeNotify, 100));
      expect(await witness.until('end')).toEqual(['abcdefghij', 'end']);
    });
  }

  it('the kernel is not told unless asked to, and in TLS 1.2 there is no padding', async () => {
    for (const [version, given] of [
      ['TLSv1.3', {}],
      ['TLSv1.2', options],
    ] as const) {
      await using scene = await scripted('server', version, { options: given });
      expect(isExpected(scene.socket)).toBe(false);
      scene.peer.send(data('data'));
      expect(await new Witness(scene.socket).received(4)).toBe('data');
    }
  });
});

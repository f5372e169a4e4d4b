/**
 * What a close waits for is counted exactly: at rest TCP has taken what the plaintext and the records add
 * up to, not a byte more or less. One byte too few and a close never ends, one too many and it loses data.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Channel, loadBinding } from '../../lib/kernel/binding.js';
import { cipherRefusal } from '../../lib/kernel/probe.js';
import { expectedInTcp } from '../../lib/socket/closing.js';
import { cipherSuiteByName } from '../../lib/tls/cipher-suites.js';
import { HandshakeType, protocolVersion } from '../../lib/tls/constants.js';
import { rsaCertificate } from '../support/certificates.js';
import { describeKernel } from '../support/kernel.js';
import { data, handshake, message } from '../support/record-peer.js';
import { type Version, roles, scripted } from '../support/scripted.js';
import { TcpEnd } from '../support/tcp-state.js';

/** The channels made in the test at hand: a socket keeps its own to itself. */
const made: Channel[] = [];
let restore = (): void => undefined;

beforeEach(() => {
  made.length = 0;
  const binding = loadBinding();
  if (binding instanceof Error) throw binding;
  const { Channel: Original } = binding;
  binding.Channel = class extends Original {
    constructor(...args: ConstructorParameters<typeof Original>) {
      super(...args);
      made.push(this);
    }
  };
  restore = () => void (binding.Channel = Original);
});
afterEach(() => restore());

const suites: [string, Version][] = [
  ['TLS_AES_128_GCM_SHA256', 'TLSv1.3'],
  ['TLS_AES_256_GCM_SHA384', 'TLSv1.3'],
  ['TLS_CHACHA20_POLY1305_SHA256', 'TLSv1.3'],
  ['TLS_AES_128_CCM_SHA256', 'TLSv1.3'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLSv1.2'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLSv1.2'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLSv1.2'],
  ['DHE-RSA-AES128-CCM', 'TLSv1.2'],
  ['ECDHE-ARIA128-GCM-SHA256', 'TLSv1.2'],
];

describeKernel('what TCP has taken is exactly what was sent', () => {
  for (const [index, [name, version]] of suites.entries()) {
    const role = roles[index % 2]!;
    const suite = cipherSuiteByName(name, protocolVersion(version)!)!;
    // Not every distribution builds ARIA; ciphers.test.ts tests that it is refused then.
    if (cipherRefusal(suite) !== null) continue;
    it(`${name} (${role})`, async () => {
      const ciphers = version === 'TLSv1.3' ? name : `${name}:@SECLEVEL=0`;
      const options = { ...rsaCertificate(), ciphers, dhparam: 'auto' } as object;
      await using scene = await scripted(role, version, { options });
      const { peer, socket } = scene;
      socket.resume();
      const [channel] = made;
      const sequence = channel!.sendSequence(suite.version, suite.kernelCipher) as bigint;
      const start = {
        suite,
        version: suite.version,
        bytesInTcp: channel!.bytesInTcp(),
        firstSendSequence: sequence,
        fragmentLimit: null,
      };
      const before = peer.receivedLength;

      for (const length of [1, 0, 16_383, 16_384, 16_385, 70_001])
        socket.write(Buffer.alloc(length));
      socket.cork();
      for (let i = 1; i < 200; i += 3) socket.write(Buffer.alloc(i * 7));
      socket.uncork();
      // In TLS 1.2 a request to renegotiate is answered with an alert of two bytes.
      let alerts = 0;
      if (version === 'TLSv1.2') {
        const type = role === 'client' ? HandshakeType.helloRequest : HandshakeType.clientHello;
        const asks = handshake(message(type, role === 'client' ? 0 : 40));
        peer.send(asks, data('.'), asks);
        alerts = 2;
      }
      socket.write('last');
      await peer.until(
        () =>
          peer.receivedLength === before + socket.bytesWritten &&
          peer.receivedAlerts.length === alerts,
      );
      // Until the acknowledgements are in, the two halves of the count may disagree.
      await new TcpEnd(socket).delivered();

      const plaintext = socket.bytesWritten + 2 * alerts;
      expect(channel!.bytesInTcp()).toBe(expectedInTcp(channel!, start, plaintext));
    });
  }
});

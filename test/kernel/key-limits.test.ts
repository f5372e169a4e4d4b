/** A key protects `rekeyAfter` records, and those of the write that is under way then, whatever is written. */
import { expect, it } from 'vitest';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { ContentType, HandshakeType, maxPlaintextLength } from '../../lib/tls/constants.js';
import { type AnySocket, digest } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { scripted } from '../support/scripted.js';

const AES128 = 51;
const LIMIT = 8;
const WRITES = 50;

const text = '€'.repeat(maxPlaintextLength);
const chunk = Buffer.alloc(3 * maxPlaintextLength, 'x');

/** What is written; at most so many records at once. */
const writers: [what: string, most: number, write: (socket: AnySocket, turn: number) => string][] =
  [
    ['text of more bytes than characters', 3, (socket) => (socket.write(text), text)],
    [
      'large chunks and small ones',
      3,
      (socket, turn) => {
        const data = turn % 3 === 0 ? chunk : chunk.subarray(0, 10);
        socket.write(data);
        return data.toString();
      },
    ],
  ];

describeKernel('a key that has protected enough records', () => {
  for (const [what, most, write] of writers) {
    it(`is changed before another write, where the kernel can: ${what}`, async () => {
      const options = { rekeyAfter: LIMIT };
      await using scene = await scripted('server', 'TLSv1.3', { options });
      const { peer, socket } = scene;
      const underEachKey = [0];
      peer.onRecord = ({ type, payload }) => {
        if (type === ContentType.applicationData) {
          underEachKey[underEachKey.length - 1]!++;
        } else if (type === ContentType.handshake && payload[0] === HandshakeType.keyUpdate) {
          underEachKey.push(0);
          peer.updateReceiveKeys();
        }
      };
      let expected = '';
      for (let turn = 0; turn < WRITES; turn++) {
        expected += write(socket, turn);
        // One by one: a KeyUpdate comes between writes.
        await new Promise((resolve) => socket.write('', resolve));
      }
      socket.end();
      expect(await peer.untilEnded()).toBe('fin');
      expect(digest(peer.receivedData)).toBe(digest(Buffer.from(expected)));
      if (kernelRekeys(AES128)) {
        expect(underEachKey.length).toBeGreaterThan(WRITES / LIMIT);
        expect(Math.max(...underEachKey)).toBeLessThan(LIMIT + most);
      } else {
        expect(underEachKey).toHaveLength(1);
      }
    });
  }
});

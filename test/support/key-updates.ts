/** KeyUpdates at a `RecordPeer`, which answers none of its own accord. */
import { ContentType, HandshakeType } from '../../lib/tls/constants.js';
import { type PlainRecord, type RecordPeer, handshake, keyUpdate } from './record-peer.js';

export const isKeyUpdate = ({ type, payload }: PlainRecord): boolean =>
  type === ContentType.handshake && payload[0] === HandshakeType.keyUpdate;

/** Counts the KeyUpdates that the peer gets; it reads with the next keys after each. */
export function followUpdates(peer: RecordPeer): { count: number } {
  const seen = { count: 0 };
  peer.onRecord = (record) => {
    if (!isKeyUpdate(record)) return;
    seen.count++;
    peer.updateReceiveKeys();
  };
  return seen;
}

/** Sends a KeyUpdate and goes on with the next keys. */
export function update(peer: RecordPeer, requested: boolean, ...before: Buffer[]): void {
  peer.send(handshake(...before, keyUpdate(requested)));
  peer.updateSendKeys();
}

/** Readers of every kind, which take all there is. */
import { createHash } from 'node:crypto';
import type { Random } from '../unit/tls/random.js';
import type { AnySocket } from './connection.js';

/**
 * Reads to the end: in little bites, as it flows, or with pauses.
 *
 * @returns the SHA-256 of it
 */
export async function consume(socket: AnySocket, random: Random): Promise<string> {
  const hash = createHash('sha256');
  const manner = random.below(3);
  if (manner === 0) {
    socket.on('readable', () => {
      for (;;) {
        const wanted = Math.min(1 + random.below(700), Math.max(1, socket.readableLength));
        const chunk = socket.read(wanted) as Buffer | null;
        if (chunk === null) return;
        hash.update(chunk);
      }
    });
  } else {
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      if (manner === 1) return;
      socket.pause();
      setTimeout(() => socket.resume(), random.below(3));
    });
  }
  await new Promise<void>((resolve, reject) => {
    socket.on('end', resolve);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without an end')));
  });
  return hash.digest('hex');
}

/** What a file has in it. */
import { createCipheriv } from 'node:crypto';

/** Bytes of which no two stretches are alike, the same ones each time. */
export function patternless(length: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}

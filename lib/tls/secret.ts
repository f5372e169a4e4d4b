/**
 * Secrets are bytes in memory of their own: never a string, never in Node's shared Buffer pool, and never in
 * V8's heap. `Buffer.alloc` puts up to 64 bytes there (Node 20 to 26), where the garbage collector moves
 * them, and so does native code that asks for their address: the bytes left behind cannot be wiped.
 */

/** `length` zeros, for a secret that their owner wipes. */
export const allocateSecret = (length: number) => Buffer.from(new ArrayBuffer(length));

/** A copy that its new owner wipes. */
export function copySecret(secret: Uint8Array) {
  const copy = allocateSecret(secret.length);
  copy.set(secret);
  return copy;
}

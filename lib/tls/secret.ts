/** Secrets are bytes in memory of their own: never a string, never in Node's shared Buffer pool. */

/** A copy that its new owner wipes. */
export function copySecret(secret: Uint8Array): Buffer {
  const copy = Buffer.alloc(secret.length);
  copy.set(secret);
  return copy;
}

/**
 * Calls the application where an exception would harm more than its own: pass through OpenSSL's stack, or lose
 * bytes. It becomes an 'uncaughtException' of its own, as it is with sockets of Node's.
 *
 * @param afterThrow - What is to be done then, and returned.
 */
export function unharmed<T>(call: () => T, afterThrow: (error: unknown) => T): T;
export function unharmed(call: () => void): void;
export function unharmed<T>(call: () => T, afterThrow?: (error: unknown) => T): T | undefined {
  try {
    return call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
    return afterThrow?.(error);
  }
}

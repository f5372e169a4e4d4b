/** The value of an option that counts something. @throws Error if it is no positive integer */
export function count(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`--${option} ${text}: not a count`);
  }
  return value;
}

/** A command that was called wrongly: `lib/cli.ts` prints the sentence and exits with 2. */
export class UsageError extends Error {}

/** The environment of programs that are not ours: curl, openssl, daemons. */

/**
 * Without the sanitizers that `npm run test:sanitized` puts into every process: they are for the addon, and
 * a program that was not made for them may hang.
 */
export function foreignEnvironment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...environment } = process.env;
  return environment;
}

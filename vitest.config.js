import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// vitest deletes the cache of another set of packages, and then misses its directory: each has its own.
const packages = createHash('sha256')
  .update(readFileSync(new URL('node_modules/.package-lock.json', import.meta.url)))
  .digest('hex');

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/certificates.ts',
    reporters: ['default', './test/support/tally-reporter.js'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A deadline, and no more: vitest's own of a second is less than a slow machine may stand still.
    expect: { poll: { timeout: 30_000 } },
    // A socket left open by one test must not fail another: each file has its own worker.
    pool: 'forks',
    // Compiled once, on the host: a guest under emulation takes longer for it than for the tests.
    experimental: {
      fsModuleCache: true,
      fsModuleCachePath: `node_modules/.vitest-cache/${packages.slice(0, 16)}`,
    },
  },
});

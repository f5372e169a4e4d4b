import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/certificates.ts',
    reporters: ['default', './test/support/tally-reporter.js'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A socket left open by one test must not fail another: each file has its own worker.
    pool: 'forks',
  },
});

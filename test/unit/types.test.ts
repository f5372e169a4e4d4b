/** The declarations say what the package offers, to ES modules and to CommonJS. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('compiles programs that use the declarations, and rejects those that misuse them', async () => {
  const args = ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'test/types'];
  const { stdout } = await promisify(execFile)(process.execPath, args).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(stdout).toBe('');
});

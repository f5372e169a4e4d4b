/** `ktls counters` in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import { packageRoot, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

it('ends quietly when its reader has seen enough', async () => {
  const args = ['counters', '--watch', '--json', '--interval', '0.05'];
  const child = spawn(process.execPath, [join(packageRoot, 'dist/cli.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = text(child.stderr);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(await said).toBe('');
});

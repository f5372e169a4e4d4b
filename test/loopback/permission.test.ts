/** Under Node's permission model, which lets nothing be read but what it was told. */
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { packageRoot } from '../support/script.js';

const flag = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

it('probe() answers, and says what may not be read', () => {
  const program = `
    import(${JSON.stringify(pathToFileURL(`${packageRoot}/dist/index.js`).href)}).then(({ probe }) => {
      const { module, reason } = probe();
      console.log(JSON.stringify({ module, message: reason.message }));
    });
  `;
  // Without --allow-addons there is none.
  const options = [flag, `--allow-fs-read=${packageRoot}/*`, '--no-warnings'];
  const output = execFileSync(process.execPath, [...options, '-e', program], { encoding: 'utf8' });
  const { module, message } = JSON.parse(output) as { module: unknown; message: string };
  expect(module).toBe(null);
  expect(message).toMatch(/: \/etc\/alpine-release$/);
});

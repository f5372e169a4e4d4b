/** The built package as an application gets it: imported, required, and where it cannot offload. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { clean, packageRoot, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

const names = [
  'KtlsError',
  'OffloadedSocket',
  'connect',
  'createServer',
  'offload',
  'probe',
  'stats',
];

const copies: string[] = [];
afterEach(() => {
  for (const copy of copies.splice(0)) rmSync(copy, { recursive: true });
});

/** What npm would unpack, less the addon; `dependencies` are there or not. */
function copyWithoutAddon(dependencies: boolean): string {
  const root = mkdtempSync(join(tmpdir(), 'ktls-package-'));
  copies.push(root);
  for (const part of ['dist', 'package.json']) {
    cpSync(join(packageRoot, part), join(root, part), { recursive: true });
  }
  if (dependencies) {
    mkdirSync(join(root, 'node_modules'));
    const name = 'node_modules/node-gyp-build';
    symlinkSync(join(packageRoot, name), join(root, name));
  }
  return root;
}

describe('the package', () => {
  it('can be imported, whole and by name', async () => {
    const ended = await runScript(`
      const module = await import('ktls');
      say(Object.keys(module).filter((name) => name !== 'default').sort());
      const { default: whole, ...named } = module;
      say(Object.keys(whole).every((name) => whole[name] === named[name]));
    `);
    expect(ended).toMatchObject(clean);
    const [exported, same] = ended.stdout.split('\n');
    expect(exported!.split(',')).toEqual(expect.arrayContaining(names));
    expect(same).toBe('true');
  });

  it('can be required, and is the same module then', async () => {
    const ended = await runScript(
      `
      const { createRequire } = await import('node:module');
      const required = createRequire(process.cwd() + '/package.json')('ktls');
      say(required.connect === ktls.connect, required.default === ktls);
      `,
      { nodeArguments: ['--no-warnings'] },
    );
    expect(ended).toMatchObject({ ...clean, stdout: 'true true\n' });
  });
});

it('functions and classes have the names by which they are exported', async () => {
  const ended = await runScript(`
    for (const path of ['ktls', 'ktls/https', 'ktls/http2', 'ktls/serve-static']) {
      const { default: whole, ...named } = await import(path);
      for (const [name, value] of Object.entries({ ...whole, ...named })) {
        if (typeof value === 'function' && value.name !== name) say(path, name, value.name);
      }
    }
  `);
  expect(ended).toMatchObject({ ...clean, stdout: '' });
});

it('serve-static can be imported and required', async () => {
  const ended = await runScript(
    `
    const { createRequire } = await import('node:module');
    const imported = await import('ktls/serve-static');
    const required = createRequire(process.cwd() + '/package.json')('ktls/serve-static');
    say(imported.default === required.serveStatic, typeof required.fastifyStatic);
    `,
    { nodeArguments: ['--no-warnings'] },
  );
  expect(ended).toMatchObject({ ...clean, stdout: 'true function\n' });
});

/** Says the reason on both sides of a connection that works, and that of a required one. */
const reasons = `
  const { listener, server: accepted, client } = await pair();
  accepted.write('fine');
  const [data] = await once(client, 'data');
  say(data, client.offload.reason, accepted.offload.reason);
  say(ktls.probe().available, ktls.probe().reason.code);
  client.destroy();
  accepted.destroy();
  listener.close();
  const required = connect(1, { mode: 'require' });
  required.on('error', (error) => say(error.code));
`;

const expected = (code: string) => ({
  ...clean,
  stdout: `fine ${code} ${code}\nfalse ${code}\n${code}\n`,
});

describe('the package falls back to node:tls and says why', () => {
  it('where the addon was not built', async () => {
    const ended = await runScript(reasons, {
      root: copyWithoutAddon(true),
      // That of the sanitized run.
      env: { KTLS_PREBUILD: '' },
    });
    expect(ended).toMatchObject(expected('ERR_KTLS_NO_ADDON'));
  });

  it("where not even the addon's loader is installed", async () => {
    const ended = await runScript(reasons, { root: copyWithoutAddon(false) });
    expect(ended).toMatchObject(expected('ERR_KTLS_NO_ADDON'));
  });

  for (const platform of ['darwin', 'win32']) {
    it(`on ${platform}`, async () => {
      const before = `Object.defineProperty(process, 'platform', { value: '${platform}' });`;
      const ended = await runScript(reasons, {
        nodeArguments: ['--import', `data:text/javascript,${encodeURIComponent(before)}`],
      });
      expect(ended).toMatchObject(expected('ERR_KTLS_PLATFORM'));
    });
  }
});

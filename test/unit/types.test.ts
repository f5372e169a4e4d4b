/** The declarations say what the package offers, to ES modules and to CommonJS. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { Scratch } from '../support/scratch.js';

/** @returns what the compiler complains of */
async function compile(project: string): Promise<string> {
  const args = ['node_modules/typescript/bin/tsc', '--noEmit', '-p', project];
  const { stdout } = await promisify(execFile)(process.execPath, args).catch(
    (error: unknown) => error as { stdout: string },
  );
  return stdout;
}

it('compiles programs that use the declarations, and rejects those that misuse them', async () => {
  expect(await compile('test/types')).toBe('');
});

it('compiles programs that have the newest declarations of Node', async () => {
  const project = new Scratch();
  onTestFinished(() => project.remove());
  mkdirSync(project.path('node_modules/@types'), { recursive: true });
  const newest = resolve('node_modules/@types/node-newest');
  symlinkSync(newest, project.path('node_modules/@types/node'));
  symlinkSync(resolve('.'), project.path('node_modules/ktls'));
  copyFileSync('test/types/newest/sockets.mts', project.path('sockets.mts'));
  const compilerOptions = { skipLibCheck: false, preserveSymlinks: true };
  const config = { extends: resolve('tsconfig.json'), compilerOptions, include: ['*.mts'] };
  writeFileSync(project.path('tsconfig.json'), JSON.stringify(config));
  expect(await compile(project.directory)).toBe('');
});

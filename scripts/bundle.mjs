/**
 * Compiles `lib` to `dist`: each entry point of package.json a file, and what several of them share in
 * chunks that are loaded once, so that they share its state. To load a module costs Node about a millisecond,
 * and `lib` has many. Declarations are written by the TypeScript compiler.
 */
import { readFileSync } from 'node:fs';
import { build } from 'esbuild';

const { bin, engines, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const entries = [...Object.values(exports), ...Object.values(bin)]
  .map((entry) => entry.default ?? entry)
  .filter((path) => path.startsWith('./dist/'));

await build({
  entryPoints: entries.map((path) => path.replace(/^\.\/dist\/(.+)\.js$/, 'lib/$1.ts')),
  outdir: 'dist',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: engines.node.replace('>=', 'node'),
  sourcemap: true,
  // Traces name the file and line of the source; the bundle itself is as readable.
  sourcesContent: false,
  logLevel: 'warning',
});

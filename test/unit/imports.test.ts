/** The architecture holds: imports point one way, and undocumented Node lives in one place. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const files = readdirSync('lib', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(join('lib', name), 'utf8') }));

/** The files of `lib` that a file imports. */
function importsOf({ name, text }: { name: string; text: string }): string[] {
  return [...text.matchAll(/(?:from |import\()'(\.[^']+)'/g)].map(([, path]) =>
    normalize(join(dirname(name), path!)).replace(/\.js$/, '.ts'),
  );
}

const within = (name: string, ...places: string[]): boolean =>
  places.some((place) => (place.endsWith('/') ? name.startsWith(place) : name === `${place}.ts`));

/** Which places of `lib` each place may import. */
const allowed: [place: string, from: string[]][] = [
  ['tls/', ['tls/']],
  ['errors', []],
  ['diagnostics', ['errors']],
  ['package-root', []],
  ['unharmed', []],
  ['turns', []],
  ['options', ['errors']],
  ['node-private', ['node-private/']],
  ['node-private/', ['node-private/']],
  ['kernel/', ['kernel/', 'tls/', 'errors', 'package-root']],
  [
    'handshake/',
    ['handshake/', 'tls/', 'kernel/binding', 'node-private', 'errors', 'unharmed', 'turns'],
  ],
  [
    'socket/',
    [
      'socket/',
      'kernel/',
      'handshake/',
      'tls/',
      'node-private',
      'errors',
      'diagnostics',
      'options',
      'unharmed',
      'turns',
    ],
  ],
  ['decorate', ['socket/', 'send-file', 'errors', 'options']],
  [
    'doctor/',
    ['doctor/', 'kernel/', 'tls/', 'socket/offload-state', 'connect', 'server', 'errors'],
  ],
  ['counters/', ['counters/', 'kernel/']],
  ['tuning/', ['tuning/', 'doctor/']],
  ['serving/', ['serving/', 'static/', 'socket/', 'https', 'errors', 'package-root']],
  [
    'commands/',
    ['commands/', 'doctor/', 'counters/', 'tuning/', 'serving/', 'kernel/', 'package-root'],
  ],
  ['cli', ['commands/']],
  ['nested', ['socket/']],
  ['https', ['connect', 'server', 'options', 'proxy-tunnel', 'node-private', 'errors']],
  ['proxy-tunnel', ['node-private', 'errors']],
  ['http2', ['connect', 'server', 'options']],
  ['static/', ['static/', 'send-file', 'node-private', 'errors']],
  ['serve-static', ['static/']],
  [
    'connect',
    [
      ...['socket/offloaded-socket', 'kernel/probe', 'decorate', 'nested'],
      ...['node-private', 'diagnostics', 'errors', 'options'],
    ],
  ],
  [
    'server',
    [
      ...['socket/offloaded-socket', 'kernel/binding', 'kernel/probe', 'decorate', 'nested'],
      ...['node-private', 'diagnostics', 'errors', 'options'],
    ],
  ],
  ['send-file', ['socket/', 'node-private', 'errors', 'options']],
  [
    'index',
    ['connect', 'server', 'send-file', 'decorate', 'socket/', 'kernel/', 'errors', 'options'],
  ],
  ['register', ['connect', 'server', 'socket/', 'diagnostics', 'options', 'node-private']],
];

describe('imports point one way', () => {
  it('reads every file of lib', () => {
    expect(files.length).toBeGreaterThan(25);
  });

  for (const [place, from] of allowed) {
    it(`${place} imports nothing but ${from.join(', ') || 'Node'}`, () => {
      const members = files.filter(({ name }) => within(name, place));
      expect(members).not.toEqual([]);
      for (const file of members) {
        const wrong = importsOf(file).filter((name) => !within(name, ...from));
        expect(wrong, file.name).toEqual([]);
      }
    });
  }

  it('leaves out no file of lib', () => {
    const places = allowed.map(([place]) => place);
    const left = files.filter(({ name }) => !within(name, ...places));
    expect(left.map(({ name }) => name)).toEqual([]);
  });

  it('finds files of lib short, half of them below 150 lines', () => {
    const lines = files.map(({ text }) => text.split('\n').length - 1).sort((a, b) => a - b);
    expect(lines[Math.floor(lines.length / 2)]).toBeLessThan(150);
    expect(lines.at(-1)).toBeLessThan(400);
  });

  it('only node-private touches the underscored members of Node', () => {
    const touches = files.filter(
      ({ name, text }) =>
        !within(name, 'node-private', 'node-private/') &&
        /\._(handle|unrefTimer|server|parent|host|onPendingData)\b/.test(text),
    );
    expect(touches.map(({ name }) => name)).toEqual([]);
  });

  it('only kernel/binding.ts loads the addon', () => {
    const loads = files.filter(({ text }) => text.includes('node-gyp-build'));
    expect(loads.map(({ name }) => name)).toEqual(['kernel/binding.ts']);
  });

  it('examples see only the public surface', () => {
    for (const name of readdirSync('examples')) {
      expect(readFileSync(join('examples', name), 'utf8'), name).not.toMatch(/from '\.\.?\//);
    }
  });
});

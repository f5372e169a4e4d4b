/** Everything that is made from a result file: the README's table, docs/performance.md, its charts. */
import { readFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { type Result, type TrialResult, revisionsOf } from '../result.js';
import { chart } from './charts.js';
import type { Source } from './source.js';
import { VECTORS, details, floors, losses, origin, summary } from './tables.js';

const BEGIN = '<!-- made by npm run bench:report -->';
const END = '<!-- end of what npm run bench:report made -->';

const what = ({ machine, version, cipher }: Result): string =>
  `Linux ${machine.kernel}, Node ${machine.node}, ${version}, ${cipher}`;

function readmeSection({ path, result }: Source, vectors?: Source): string {
  return [
    BEGIN,
    '',
    summary(result.trials, vectors?.result.trials),
    '',
    `${what(result)}; CPU of the server (of the client, where it says so), in a VM where 1 µs is 1,000 instructions. Figures of revision ${revisionsOf(result.trials).join(', ')}. All drivers, charts, and where kernel TLS loses: [Performance](docs/performance.md). Result file: [${path}](${path}).${vectors === undefined ? '' : ` “${VECTORS}”: the same where a copied byte costs a tenth, from [${vectors.path}](${vectors.path}); real CPUs lie between the two.`}`,
    '',
    END,
  ].join('\n');
}

/** Which revisions of this package a result has figures of. */
function measured(trials: readonly TrialResult[]): string {
  const revisions = revisionsOf(trials);
  if (revisions.length === 1) return `Figures of revision ${revisions[0]}`;
  return `Figures of ${revisions.length} revisions of this package, ${revisions.join(', ')}, each trial's under its chart`;
}

const chartFile = ({ name }: TrialResult): string => `docs/performance/${name}.svg`;

function performanceDocument({ path, result }: Source, vectors?: Source): string {
  const { machine, trials } = result;
  const tools = Object.entries(machine.tools).map(([name, version]) => `${name} ${version}`);
  return [
    '# Performance',
    '',
    `Made by \`npm run bench:report\` from [${path}](../${path}): ${what(result)}; ${tools.join(', ')}. ${measured(trials)}.`,
    ...(vectors === undefined
      ? []
      : [
          '',
          `“${VECTORS}” is from [${vectors.path}](../${vectors.path}), revision ${revisionsOf(vectors.result.trials).join(', ')}.`,
        ]),
    '',
    readFileSync('benchmarks/report/method.md', 'utf8').trim(),
    '',
    '## All in one table',
    '',
    summary(trials, vectors?.result.trials),
    '',
    '## Where kernel TLS costs more than node:tls',
    '',
    losses(trials, vectors?.result.trials),
    '',
    '## What is left to gain',
    '',
    readFileSync('benchmarks/report/floor.md', 'utf8').trim(),
    '',
    floors(trials),
    '',
    ...trials.flatMap((trial) => [
      `## ${trial.title}`,
      '',
      `![${trial.title}](${chartFile(trial).replace('docs/', '')})`,
      '',
      origin(trial),
      '',
      details(trial),
      '',
    ]),
  ].join('\n');
}

async function markdown(text: string): Promise<string> {
  const config = await resolveConfig('README.md');
  return format(text, { ...config, parser: 'markdown' });
}

function readmeWith(section: string): string {
  const readme = readFileSync('README.md', 'utf8');
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md lacks '${BEGIN}' or '${END}'`);
  return readme.slice(0, begin) + section + readme.slice(end + END.length);
}

/**
 * @param vectors - Of a CPU that copies by vectors.
 * @returns the files' contents by their paths
 */
export async function documents(source: Source, vectors?: Source): Promise<Map<string, string>> {
  return new Map([
    ['README.md', await markdown(readmeWith(readmeSection(source, vectors)))],
    ['docs/performance.md', await markdown(performanceDocument(source, vectors))],
    ...source.result.trials.map((trial) => [chartFile(trial), chart(trial)] as const),
  ]);
}

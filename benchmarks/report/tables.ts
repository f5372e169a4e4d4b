/** The tables of the README and of docs/performance.md, in Markdown. */
import { type DriverName, drivers, isBaseline, isKtls } from '../drivers/driver.js';
import { type Figures, type TrialResult, medianOf, ratioOf, revisionsOf } from '../result.js';
import type { Metric, Sample } from '../trials/trial.js';
import { ratioError, userError } from './split.js';

const NONE = '–';

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'));
  return [row(head), row(rule), ...rows.map(row)].join('\n');
}

/** Three digits that count, or all before the point. */
function number(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return NONE;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const [whole, fraction] = value.toFixed(digits).split('.');
  const grouped = whole!.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

const ratio = (value: number): string => (Number.isNaN(value) ? NONE : `${value.toFixed(2)}×`);

/** @param share of the value, how well it is known */
const ratioWith = (value: number, share: number): string =>
  Number.isFinite(share) ? `${ratio(value)} ± ${(value * share).toFixed(2)}` : ratio(value);

const percent = (share: number): string =>
  Number.isFinite(share) ? `±${(share * 100).toFixed(0)} %` : NONE;

/** What a trial compares, in units for reading. */
const shown: Readonly<Record<Metric, { unit: string; divisor: number }>> = {
  cpu: { unit: 'µs', divisor: 1 },
  memory: { unit: 'KiB', divisor: 1024 },
  delay: { unit: 'ms', divisor: 1000 },
};

export const unitOf = ({ metric, unit }: TrialResult): string =>
  metric === 'delay' ? 'ms, p99' : `${shown[metric].unit} per ${unit}`;

export const valueOf = ({ metric }: TrialResult, figures: Figures): number =>
  figures.value / shown[metric].divisor;

const find = ({ figures }: TrialResult, of: (name: DriverName) => boolean): Figures | undefined =>
  figures.find(({ driver }) => of(driver));

/** The driver of ours that a user would take for the work. */
const chosen = (trial: TrialResult): Figures | undefined =>
  find(trial, (driver) => driver === 'ktls-sendfile') ?? find(trial, isKtls);

/** The heading of the ratios of a CPU that copies by vectors. */
export const VECTORS = 'copies by vectors';

const vectorsHead = (vectors: readonly TrialResult[]): string[] =>
  vectors.length > 0 ? [VECTORS] : [];

/** The ratio of a driver, and that of a CPU that copies by vectors if there are any of one. */
function ratiosOf(
  trial: TrialResult,
  driver: DriverName,
  vectors: readonly TrialResult[],
): number[] {
  const ratios = [ratioOf(trial, driver)];
  if (vectors.length === 0) return ratios;
  const other = vectors.find(({ name }) => name === trial.name);
  return [...ratios, other === undefined ? NaN : ratioOf(other, driver)];
}

/**
 * One line for each trial that has both sides.
 *
 * @param vectors - Of a CPU that copies by vectors.
 */
export function summary(
  trials: readonly TrialResult[],
  vectors: readonly TrialResult[] = [],
): string {
  const lines = trials.flatMap((trial) => {
    const baseline = find(trial, isBaseline);
    const ktls = chosen(trial);
    if (baseline === undefined || ktls === undefined) return [];
    const floor = find(trial, (name) => name === 'http');
    // Nothing else has it under TLS.
    const how = ktls.driver === 'ktls-sendfile' ? ' (ktls: `sendFile`, the others: `pipe()`)' : '';
    const value = (figures?: Figures): string =>
      number(figures === undefined ? undefined : valueOf(trial, figures));
    const ratios = ratiosOf(trial, ktls.driver, vectors);
    const cells = [value(floor), value(baseline), value(ktls), ...ratios.map(ratio)];
    return [[`${trial.title}${how}`, unitOf(trial), ...cells]];
  });
  const head = ['', '', 'no TLS', 'node:tls', 'ktls', 'ktls ÷ node:tls'];
  return table([...head, ...vectorsHead(vectors)], lines);
}

/** Which revision the figures are of: of all of them, or of which drivers' figures which. */
export function origin(trial: TrialResult): string {
  const all = revisionsOf([trial]);
  // Older results counted from a sample's beginning on.
  const counts = trial.figures.some(
    ({ driver, samples }) =>
      drivers[driver].offload.length > 0 && samples.some(({ evidence }) => evidence === undefined),
  )
    ? ' Counts of offloaded connections include those of the warm-up.'
    : '';
  if (all.length === 1) return `Figures of revision ${all[0]}.${counts}`;
  const each = all.map((revision) => {
    const names = trial.figures
      .filter((figures) => figures.revision === revision)
      .map(({ driver }) => drivers[driver].title);
    return `${revision} (${names.join('; ')})`;
  });
  return `Figures of revisions ${each.join(' and ')}.${counts}`;
}

/** All that is known of a trial's drivers. */
export function details(trial: TrialResult): string {
  // What older results lack altogether has no column.
  const has = (key: keyof Sample): boolean =>
    trial.figures.some(({ samples }) => samples.some((sample) => sample[key] !== undefined));
  const [kernelThreads, ticks, systemCalls, descriptors] = [
    has('kernelThreads'),
    has('ticks'),
    has('systemCalls'),
    has('descriptors'),
  ];
  const lines = trial.figures.map((figures) => {
    const { driver, samples, spread } = figures;
    const first = samples[0]!;
    const median = (of: Parameters<typeof medianOf>[1]): string => number(medianOf(figures, of));
    const { tx, rx } = first.offloaded;
    return [
      drivers[driver].title,
      ...(trial.metric === 'cpu' ? [] : [number(valueOf(trial, figures))]),
      ratio(ratioOf(trial, driver)),
      ...(trial.metric === 'delay'
        ? [
            median((sample) => sample.delay!.idle / 1000),
            median((sample) => sample.delay!.max / 1000),
          ]
        : []),
      ...(trial.metric === 'memory'
        ? [
            median((sample) => sample.memory!.resident / 1024),
            median((sample) => sample.memory!.kernel / 1024),
          ]
        : []),
      ...(descriptors ? [median((sample) => sample.descriptors ?? NaN)] : []),
      median((sample) => sample.cpu.total),
      median((sample) => sample.cpu.user),
      ...(ticks ? [percent(userError(figures))] : []),
      median((sample) => sample.cpu.system),
      ...(kernelThreads ? [median((sample) => sample.kernelThreads ?? NaN)] : []),
      ...(systemCalls ? [median((sample) => sample.systemCalls ?? NaN)] : []),
      median((sample) => sample.perSecond),
      ...(first.latency === undefined
        ? [NONE, NONE]
        : [
            median((sample) => sample.latency!.p50 / 1000),
            median((sample) => sample.latency!.p99 / 1000),
          ]),
      median((sample) => sample.resident / 1024 / 1024),
      drivers[driver].offload.length === 0 ? NONE : `${tx} / ${rx}`,
      samples.length > 1 ? `±${(spread * 50).toFixed(1)} % of ${samples.length}` : `${NONE} of 1`,
    ];
  });
  const per = trial.unit;
  const head = [
    '',
    ...(trial.metric === 'cpu' ? [] : [unitOf(trial)]),
    '÷ node:tls',
    ...(trial.metric === 'delay' ? ['idle p99, ms', 'max, ms'] : []),
    ...(trial.metric === 'memory' ? ['RSS, KiB', 'kernel, KiB'] : []),
    ...(descriptors ? ['descriptors'] : []),
    `CPU µs per ${per}`,
    'user',
    ...(ticks ? ['known to'] : []),
    'system',
    ...(kernelThreads ? ['kernel threads'] : []),
    ...(systemCalls ? ['system calls'] : []),
    `${per === 'MiB' ? per : `${per}s`}/s`,
    'p50 ms',
    'p99 ms',
    'RSS MiB',
    'offloaded tx / rx',
    'spread',
  ];
  return table(head, lines);
}

/**
 * What kernel TLS cannot go below: Node without TLS, and what the kernel's part of the work costs more. What
 * is left above it is user time, and ours.
 */
export function floors(trials: readonly TrialResult[]): string {
  const lines = trials.flatMap((trial) => {
    const ktls = chosen(trial);
    const alike = ktls?.driver === 'ktls-sendfile' ? 'http-sendfile' : 'http';
    const plain = find(trial, (name) => name === alike) ?? find(trial, (name) => name === 'http');
    const baseline = find(trial, isBaseline);
    if (trial.metric !== 'cpu' || trial.measures !== 'server') return [];
    if (plain === undefined || baseline === undefined || ktls === undefined) return [];
    const of = (figures: Figures, part: 'total' | 'user' | 'system'): number =>
      medianOf(figures, (sample) => sample.cpu[part]);
    const kernel = of(ktls, 'system') - of(plain, 'system');
    const floor = of(plain, 'total') + kernel;
    return [
      [
        trial.title,
        unitOf(trial),
        number(of(plain, 'total')),
        number(kernel),
        ratio(floor / of(baseline, 'total')),
        ratio(of(ktls, 'total') / of(baseline, 'total')),
        ratioWith(of(ktls, 'user') / of(plain, 'user'), ratioError(ktls, plain)),
      ],
    ];
  });
  const head = ['', '', 'no TLS', 'kernel TLS adds', 'floor ÷ node:tls', 'ktls ÷ node:tls'];
  return table([...head, 'user time: ktls ÷ no TLS'], lines);
}

/**
 * The drivers under kernel TLS that cost more than node:tls.
 *
 * @param vectors - Of a CPU that copies by vectors.
 */
export function losses(
  trials: readonly TrialResult[],
  vectors: readonly TrialResult[] = [],
): string {
  const lines = trials.flatMap((trial) =>
    trial.figures
      .filter(({ driver }) => isKtls(driver))
      .map(({ driver }) => ({ driver, ratios: ratiosOf(trial, driver, vectors) }))
      .filter(({ ratios }) => ratios.some((each) => each > 1))
      .map(({ driver, ratios }) => [trial.title, drivers[driver].title, ...ratios.map(ratio)]),
  );
  if (lines.length === 0) return 'Nowhere, in these trials.';
  return table(['', 'driver', '÷ node:tls', ...vectorsHead(vectors)], lines);
}

/**
 * `npm run bench:check`: a quick subset of the benchmarks, counted in instructions, beside the committed
 * figures. Fails if kernel TLS has become dearer by more than 5 %. Arguments are those of
 * `npm run bench`: `--jobs`, `--filter`, `--timeout`.
 */
import { type Comparison, compare, measureOf } from '../benchmarks/gate.js';
import { newestSource } from '../benchmarks/report/source.js';
import { requireSettings } from '../benchmarks/result.js';
import { carryOut, ordersOf } from '../benchmarks/session.js';
import { settingsOf } from '../benchmarks/settings.js';

const TOLERANCE = 0.05;
const DRIVERS = 'https,ktls,ktls-sendfile,tls.connect,ktls.connect';

function show({ trial, driver, committed, now, change }: Comparison, digits: number): void {
  const figures = [committed, now].map((value) => value.toFixed(digits).padStart(12)).join('');
  const percent = `${change < 0 ? '' : '+'}${(change * 100).toFixed(1)} %`.padStart(9);
  const verdict = change > TOLERANCE ? '  DEARER' : '';
  console.log(`${trial.padEnd(18)}${driver.padEnd(15)}${figures}${percent}${verdict}`);
}

const settings = settingsOf(['--quick', '--drivers', DRIVERS, ...process.argv.slice(2)]);
const source = newestSource(settings.vectorCopies ? 'vectors' : 'strings');
if (source === undefined) throw new Error('there is no result file');
const orders = ordersOf(settings, undefined, true);
// Said now, and not when all is measured.
requireSettings(source.result, orders[0]!);
const { result, failed } = await carryOut(orders, settings, true);
if (result === undefined || failed > 0) throw new Error(`${failed} trials were not measured`);

const measure = measureOf(source.result, result);
console.log(
  `\nBeside ${source.path}, ` +
    (measure === 'value' ? 'same kernel and Node: µs' : 'another kernel or Node: ÷ node:tls'),
);
const comparisons = compare(source.result, result);
for (const comparison of comparisons) show(comparison, measure === 'value' ? 1 : 3);
const dearer = comparisons.filter(({ change }) => change > TOLERANCE).length;
console.log(`${comparisons.length - dearer} within ${TOLERANCE * 100} %, ${dearer} dearer`);
process.exitCode = dearer === 0 ? 0 : 1;

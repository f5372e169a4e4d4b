/** A result for the eyes, on a terminal. */
import { type DriverName } from './drivers/driver.js';
import { type TrialResult, medianOf, ratioOf } from './result.js';

const column = (value: number, digits: number): string => value.toFixed(digits).padStart(10);

/** A line of one driver. */
export function line(trial: TrialResult, driver: DriverName): string {
  const figures = trial.figures.find((each) => each.driver === driver)!;
  const cpu = (['total', 'user', 'system'] as const)
    .map((part) =>
      column(
        medianOf(figures, (sample) => sample.cpu[part]),
        1,
      ),
    )
    .join('');
  const words = [`  ${driver.padEnd(14)}${cpu} µs/${trial.unit.padEnd(10)}`];
  if (trial.metric === 'memory') {
    const resident = medianOf(figures, (sample) => sample.memory!.resident / 1024);
    const kernel = medianOf(figures, (sample) => sample.memory!.kernel / 1024);
    words.push(` RSS${column(resident, 1)} KiB  kernel${column(kernel, 1)} KiB`);
  }
  if (trial.metric === 'delay') {
    const p99 = medianOf(figures, (sample) => sample.delay!.p99 / 1000);
    words.push(` p99${column(p99, 2)} ms`);
  }
  const ratio = ratioOf(trial, driver);
  words.push(Number.isNaN(ratio) ? ' '.repeat(9) : `${ratio.toFixed(3)}×`.padStart(9));
  words.push(`±${(figures.spread * 50).toFixed(1)} %`.padStart(9));
  return words.join('');
}

export function heading({ name, title, measures }: Omit<TrialResult, 'figures'>): string {
  return `${name}: ${title} (CPU of the ${measures}: all, user, system)`;
}

/** Whether kernel TLS has become dearer than the committed figures say. */
import { type DriverName, isKtls } from './drivers/driver.js';
import { type Result, copiesOf, has, ratioOf, requireSettings } from './result.js';

export interface Comparison {
  readonly trial: string;
  readonly driver: DriverName;
  readonly committed: number;
  readonly now: number;
  /** `now` as a share of `committed`, less one. */
  readonly change: number;
}

/** What counts: the values on the same kernel and Node, else how they stand to node:tls's own. */
export function measureOf(committed: Result, now: Result): 'value' | 'ratio' {
  const same = (['kernel', 'node', 'cpu'] as const).every(
    (fact) => committed.machine[fact] === now.machine[fact],
  );
  return same ? 'value' : 'ratio';
}

/**
 * Every driver under kernel TLS that both have.
 *
 * @throws Error if there is none, or a trial was not measured before, or with other settings, or not beside its
 * baseline
 */
export function compare(committed: Result, now: Result): Comparison[] {
  const { machine, version, cipher } = now;
  requireSettings(committed, { version, cipher, time: machine.time, copies: copiesOf(machine) });
  const measure = measureOf(committed, now);
  const comparisons = now.trials.flatMap((trial) => {
    const before = committed.trials.find(({ name }) => name === trial.name);
    return trial.figures
      .filter(({ driver }) => isKtls(driver))
      .map(({ driver }) => {
        if (before === undefined || !has(before, driver)) {
          throw new Error(`${trial.name}, ${driver}: not among the committed figures`);
        }
        const of = (each: typeof trial): number =>
          measure === 'ratio'
            ? ratioOf(each, driver)
            : each.figures.find((figures) => figures.driver === driver)!.value;
        const [was, is] = [of(before), of(trial)];
        const change = is / was - 1;
        // No ratio without node:tls beside it.
        if (measure === 'ratio' && Number.isNaN(was * is)) {
          throw new Error(`${trial.name}, ${driver}: no baseline`);
        }
        // No verdict on what is no cost: NaN, which is null in JSON and then counts as 0.
        if (!(was > 0 && is > 0 && Number.isFinite(change))) {
          throw new Error(`${trial.name}, ${driver}: ${is} beside ${was} is no comparison`);
        }
        return { trial: trial.name, driver, committed: was, now: is, change };
      });
  });
  if (comparisons.length === 0) throw new Error('nothing to compare');
  return comparisons;
}

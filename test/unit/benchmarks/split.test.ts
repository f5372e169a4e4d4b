import { expect, it } from 'vitest';
import { ratioError, userError } from '../../../benchmarks/report/split.js';
import { figuresOf } from '../../../benchmarks/result.js';

/** A driver with samples of so many ticks. */
function figures(user: number, ...ticks: (number | undefined)[]) {
  const samples = ticks.map((count) => ({
    units: 1,
    connections: 1,
    cpu: { total: 100, user, system: 100 - user },
    ...(count === undefined ? {} : { ticks: count }),
    perSecond: 1,
    resident: 1,
    offloaded: { tx: 0, rx: 0 },
  }));
  return figuresOf({ metric: 'cpu' }, 'http', 'abc', samples);
}

it('of a hundred ticks with half of them in user, fifty are known to five', () => {
  expect(userError(figures(50, 100))).toBeCloseTo(5 / 50);
});

it('the ticks of all samples count', () => {
  expect(userError(figures(50, 200, 200))).toBeCloseTo(userError(figures(50, 100)) / 2);
});

it('is not known of figures that do not say how many there were', () => {
  expect(userError(figures(50, 100, undefined))).toBeNaN();
});

it('a ratio has the errors of both', () => {
  const one = figures(50, 100);
  expect(ratioError(one, one)).toBeCloseTo(0.1 * Math.SQRT2);
});

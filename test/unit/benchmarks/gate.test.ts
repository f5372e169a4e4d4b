import { describe, expect, it } from 'vitest';
import { compare } from '../../../benchmarks/gate.js';
import type { DriverName } from '../../../benchmarks/drivers/driver.js';
import { type Result, figuresOf, merged } from '../../../benchmarks/result.js';

const machine: Result['machine'] = {
  kernel: '6.12',
  cpu: 'QEMU',
  cpus: 1,
  memory: 4096,
  node: 'v20.20.2',
  openssl: '3.0',
  time: 'instructions',
  tools: {},
};

/** A result with one trial, by the CPU of its drivers. */
function resultOf(
  costs: Partial<Record<DriverName, number>>,
  name = 'memory-1kib',
  facts: Partial<Result['machine']> = {},
): Result {
  const figures = Object.entries(costs).map(([driver, total]) => {
    const sample = {
      units: 1,
      connections: 1,
      cpu: { total, user: total, system: 0 },
      perSecond: 1,
      resident: 1,
      offloaded: { tx: 0, rx: 0 },
    };
    return figuresOf({ metric: 'cpu' }, driver as DriverName, 'abc', [sample]);
  });
  return {
    date: '2026-11-24T00:00:00.000Z',
    machine: { ...machine, ...facts },
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    trials: [{ name, title: name, measures: 'server', metric: 'cpu', unit: 'request', figures }],
  };
}

describe('the gate of bench:check', () => {
  it('compares the values of kernel TLS drivers on the same kernel and Node', () => {
    const [only, ...others] = compare(
      resultOf({ https: 100, ktls: 90 }),
      resultOf({ https: 200, ktls: 99 }),
    );
    expect(others).toEqual([]);
    expect(only).toMatchObject({ driver: 'ktls', committed: 90, now: 99 });
    expect(only!.change).toBeCloseTo(0.1);
  });

  it('compares the ratios to node:tls on another Node', () => {
    const [only] = compare(
      resultOf({ https: 100, ktls: 90 }),
      resultOf({ https: 200, ktls: 180 }, 'memory-1kib', { node: 'v24.0.0' }),
    );
    expect(only!.change).toBeCloseTo(0);
  });

  it('does not pass over a trial that has no committed figures', () => {
    expect(() => compare(resultOf({ ktls: 1 }), resultOf({ ktls: 1 }, 'echo'))).toThrow(
      'echo, ktls: not among the committed figures',
    );
  });

  it('does not pass a trial on another Node that lacks its baseline', () => {
    expect(() =>
      compare(
        resultOf({ https: 100, ktls: 90 }),
        resultOf({ ktls: 180 }, 'memory-1kib', { node: 'v24.0.0' }),
      ),
    ).toThrow('memory-1kib, ktls: no baseline');
  });

  it('does not pass if there is nothing to compare', () => {
    expect(() => compare(resultOf({ https: 1 }), resultOf({ https: 1 }))).toThrow('nothing');
  });
});

describe('merging results', () => {
  it('adds trials and drivers, and lets the newer figures of a driver take the place of the older', () => {
    const first = resultOf({ https: 100, ktls: 90 });
    const second = merged(resultOf({ ktls: 80, http: 70 }), resultOf({ https: 5 }, 'echo'));
    const { trials } = merged(first, second);
    expect(trials.map(({ name }) => name)).toEqual(['memory-1kib', 'echo']);
    const values = trials[0]!.figures.map(({ driver, value }) => [driver, value]);
    expect(Object.fromEntries(values)).toEqual({ https: 100, ktls: 80, http: 70 });
  });

  it('refuses figures of another machine', () => {
    const other = resultOf({ ktls: 1 }, 'memory-1kib', { kernel: '6.1' });
    expect(() => merged(resultOf({ ktls: 1 }), other)).toThrow('different machines');
  });
});

import { describe, expect, it } from 'vitest';
import { compare } from '../../../benchmarks/gate.js';
import type { DriverName } from '../../../benchmarks/drivers/driver.js';
import { origin } from '../../../benchmarks/report/tables.js';
import { type Result, figuresOf, merged } from '../../../benchmarks/result.js';
import { ordersOf, programsFor } from '../../../benchmarks/session.js';
import { settingsOf } from '../../../benchmarks/settings.js';

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
  revision = 'abc',
): Result {
  const figures = Object.entries(costs).map(([driver, total]) => {
    const sample = {
      units: 1,
      connections: 1,
      cpu: { total, user: total, system: 0 },
      perSecond: 1,
      resident: 1,
      offloaded: { tx: 0, rx: 0 },
      evidence: 'made' as const,
    };
    return figuresOf({ metric: 'cpu' }, driver as DriverName, revision, [sample]);
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

  it.each([NaN, 0, null as unknown as number])('does not pass %s for a cost', (cost) => {
    const words = 'memory-1kib, ktls: ';
    expect(() => compare(resultOf({ ktls: 90 }), resultOf({ ktls: cost }))).toThrow(words);
    expect(() => compare(resultOf({ ktls: cost }), resultOf({ ktls: 90 }))).toThrow(words);
  });

  it('does not compare what was measured with other settings', () => {
    const known = resultOf({ https: 100, ktls: 90 });
    const other = { ...known, version: 'TLSv1.2' };
    expect(() => compare(known, other)).toThrow('version TLSv1.3');
    const vectors = resultOf({ ktls: 90 }, 'memory-1kib', { copies: 'vectors' });
    expect(() => compare(known, vectors)).toThrow('copies strings');
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

  it('takes figures whose load needed other tools, and refuses those of another version of one', () => {
    const of = (tools: Record<string, string>): Result =>
      resultOf({ ktls: 1 }, 'memory-1kib', { tools });
    const both = merged(of({ wrk: '4', nginx: 'none' }), of({ wrk: 'none', nginx: '1.22' }));
    expect(both.machine.tools).toEqual({ wrk: '4', nginx: '1.22' });
    expect(() => merged(of({ wrk: '4' }), of({ wrk: '5' }))).toThrow('different machines');
  });

  it('refuses figures of another revision, unless it is asked for them', () => {
    const old = resultOf({ https: 100, ktls: 90 }, 'memory-1kib', {}, 'old');
    const now = resultOf({ ktls: 80 }, 'memory-1kib', {}, 'new');
    const refusal = expect.objectContaining({ code: 'ERR_KTLS_BENCH_REVISION' }) as Error;
    expect(() => merged(old, now)).toThrow(refusal);
    const { trials } = merged(old, now, { otherRevisions: true });
    const revisions = trials[0]!.figures.map(({ driver, revision }) => [driver, revision]);
    expect(Object.fromEntries(revisions)).toEqual({ https: 'old', ktls: 'new' });
  });

  it('lets the figures of another revision go whose place is taken', () => {
    const old = resultOf({ ktls: 90 }, 'memory-1kib', {}, 'old');
    const now = resultOf({ ktls: 80 }, 'memory-1kib', {}, 'new');
    expect(merged(old, now).trials[0]!.figures).toMatchObject([{ revision: 'new', value: 80 }]);
  });
});

describe('going on with a result', () => {
  const known = resultOf({ https: 100 }, 'memory-1kib', {}, 'old');
  const args = ['--filter', 'memory-1kib', '--drivers', 'https,ktls', '--vm'];

  it('is refused before anything is measured if it is of another revision', () => {
    const refusal = expect.objectContaining({ code: 'ERR_KTLS_BENCH_REVISION' }) as Error;
    expect(() => ordersOf(settingsOf(args), known, true)).toThrow(refusal);
  });

  it('is refused before anything is measured if it is of other settings', () => {
    const refusal = expect.objectContaining({ code: 'ERR_KTLS_BENCH_MACHINE' }) as Error;
    for (const other of [['--version', 'TLSv1.2'], ['--cipher', 'X'], ['--vector-copies']]) {
      expect(() => ordersOf(settingsOf([...args, ...other]), known, true)).toThrow(refusal);
    }
    expect(() => ordersOf(settingsOf(args), known, false)).toThrow(refusal);
  });

  it('measures again what has fewer samples than are asked for', () => {
    const settings = settingsOf([...args, '--other-revisions', '--samples', '2']);
    const [order] = ordersOf(settings, known, true);
    expect(order!.drivers).toEqual(['https', 'ktls']);
  });

  it('measures what is missing if several revisions are asked for', () => {
    const settings = settingsOf([...args, '--other-revisions', '--samples', '1']);
    const orders = ordersOf(settings, known, true);
    expect(orders).toMatchObject([{ trial: 'memory-1kib', drivers: ['ktls'] }]);
  });
});

describe('the programs of a run', () => {
  it.each([
    ['client-64mib,connections-full', 'ktls,ktls.connect', []],
    ['memory-1kib', 'ktls', ['h2load']],
    ['file-100kib', 'ktls-sendfile,nginx-ktls', ['h2load', 'nginx']],
    ['event-loop-delay', 'ktls', ['h2load', 'wrk']],
  ])('%s of %s needs %j', (filter, drivers, programs) => {
    const settings = settingsOf(['--filter', filter, '--drivers', drivers, '--vm']);
    expect(programsFor(ordersOf(settings, undefined, true))).toEqual(programs);
  });
});

describe('a table', () => {
  it('says which revision its figures are of', () => {
    const old = resultOf({ https: 100 }, 'memory-1kib', {}, 'old');
    const now = resultOf({ ktls: 80 }, 'memory-1kib', {}, 'new');
    expect(origin(old.trials[0]!)).toBe('Figures of revision old.');
    const both = merged(old, now, { otherRevisions: true });
    expect(origin(both.trials[0]!)).toBe('Figures of revisions old (node:https) and new (ktls).');
  });
});

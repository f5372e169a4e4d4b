import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chart } from '../../../benchmarks/soak/chart.js';
import { judge, judgeTally, memorySlope, slopeOf } from '../../../benchmarks/soak/judgement.js';
import { CYCLE, connection, kinds } from '../../../benchmarks/soak/kinds.js';
import type { ProcessState, SoakResult, SoakSample } from '../../../benchmarks/soak/result.js';

const rest: ProcessState = { heap: 10_000_000, resident: 80_000_000, fds: 24, handles: 5 };

/** Fifty samples, 400 connections apart, of a process whose memory moves by itself. */
function soaked(
  change: (connections: number, sample: SoakSample) => Partial<SoakSample> = () => ({}),
): SoakSample[] {
  return Array.from({ length: 50 }, (_, i) => {
    const connections = (i + 1) * 400;
    const noise = ((i * 7919) % 11) * 20_000;
    const state = { ...rest, heap: rest.heap + noise, resident: rest.resident + noise * 10 };
    const sample = {
      connections,
      seconds: i,
      server: state,
      client: state,
      keyed: { tx: 0, rx: 0 },
    };
    return { ...sample, ...change(connections, sample) };
  });
}

const withServer = (change: (connections: number, state: ProcessState) => Partial<ProcessState>) =>
  soaked((connections, { server }) => ({
    server: { ...server, ...change(connections, server) },
  }));

describe('a soak', () => {
  it('passes if all is back and memory only moves', () => {
    expect(judge(soaked())).toEqual([]);
  });

  it('passes over the growth of the warm-up', () => {
    const warming = withServer((connections, { heap }) => ({
      heap: heap + Math.min(connections, 4000) * 1000,
    }));
    expect(judge(warming)).toEqual([]);
  });

  it('passes over single samples that are far off', () => {
    const odd = withServer((connections, { heap }) =>
      connections % 4000 === 0 ? { heap: heap + 5_000_000 } : {},
    );
    expect(judge(odd)).toEqual([]);
  });

  it('finds a listener left by one connection in twelve', () => {
    const leaking = withServer((connections, { heap }) => ({
      heap: heap + (connections / 12) * 600,
    }));
    expect(judge(leaking)).toEqual([expect.stringMatching(/^heap memory of the server grows by/)]);
  });

  it("finds an object of OpenSSL's left outside the heap", () => {
    const leaking = withServer((connections, { resident }) => ({
      resident: resident + (connections / 12) * 12_000,
    }));
    expect(judge(leaking)).toEqual([expect.stringMatching(/^resident memory of the server/)]);
  });

  it.each(['fds', 'handles'] as const)('finds one of the %s left once', (what) => {
    const leaking = withServer((connections, state) =>
      connections > 12_000 ? { [what]: state[what] + 1 } : {},
    );
    expect(judge(leaking)).toEqual([expect.stringContaining(`${what} of the server`)]);
  });

  it('finds a key that the kernel keeps', () => {
    const leaking = soaked((connections) =>
      connections > 12_000 ? { keyed: { tx: 1, rx: 0 } } : {},
    );
    expect(judge(leaking)).toEqual([expect.stringContaining('keys for sending')]);
  });

  it('is not judged by a few samples', () => {
    expect(judge(soaked().slice(0, 5))).toEqual([expect.stringContaining('too few')]);
  });

  it('has a limit that falls with its length', () => {
    const [short, long] = [soaked().slice(0, 20), soaked()];
    const limit = (samples: SoakSample[]): number => memorySlope(samples, 'server', 'heap').limit;
    expect(limit(long)).toBeLessThan(limit(short));
  });

  it('takes the median of all slopes', () => {
    expect(
      slopeOf([
        [0, 0],
        [1, 2],
        [2, 4],
        [3, 100],
        [4, 8],
      ]),
    ).toBe(2);
  });

  it('has each kind in each variant as often in a cycle', () => {
    const seen = new Map<string, number>();
    for (let n = 0; n < CYCLE; n++) {
      const { name, variant } = connection(n);
      const key = `${name} ${variant.version} ${String(variant.offloads)}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(seen.size).toBe(Object.keys(kinds).length * 4);
    expect(new Set(seen.values())).toEqual(new Set([4]));
  });
});

it('a soak does not pass whose connections were not under kernel TLS', () => {
  const tally = { kinds: {}, secured: 10, resumed: 0, received: 0 };
  expect(judgeTally({ ...tally, offloaded: { tx: 10, rx: 9 } })).toEqual([
    'rx: 9 of 10 under kernel TLS',
  ]);
  expect(judgeTally({ ...tally, offloaded: { tx: 10, rx: 10 } })).toEqual([]);
});

describe('a committed soak', () => {
  const folder = 'benchmarks/soak/results';
  const names = readdirSync(folder);

  it.each(names)('%s left nothing behind, and was under kernel TLS', (name) => {
    const result = JSON.parse(readFileSync(join(folder, name), 'utf8')) as SoakResult;
    expect(judge(result.samples)).toEqual([]);
    expect(judgeTally(result.tally!)).toEqual([]);
  });

  it('has a chart made of it', () => {
    const charts = readdirSync('docs/reliability').filter((name) => name.endsWith('.svg'));
    expect(charts).toHaveLength(names.length);
    const made = names.map((name) =>
      chart(JSON.parse(readFileSync(join(folder, name), 'utf8')) as SoakResult),
    );
    for (const name of charts) {
      expect(made).toContain(readFileSync(join('docs/reliability', name), 'utf8'));
    }
  });
});

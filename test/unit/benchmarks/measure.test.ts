import { describe, expect, it } from 'vitest';
import { type Usage, costOf, usageOf } from '../../../benchmarks/measure.js';

const usage = (cpu: number, user: number, system: number): Usage => {
  return { at: cpu, cpu, ticks: { user, system }, resident: 1, kernelThreads: cpu / 10 };
};

describe('the cost between two looks', () => {
  it('is divided as the ticks between them are, not those before', () => {
    const { cpu, kernelThreads, ticks } = costOf(usage(1000, 100, 0), usage(2000, 101, 3), 10);
    expect(ticks).toBe(4);
    expect(cpu).toEqual({ total: 100, user: 25, system: 75 });
    expect(kernelThreads).toBe(10);
  });

  it('has no negative part, though ticks come late', () => {
    const { cpu } = costOf(usage(1000, 5, 5), usage(1010, 5, 8), 1);
    expect(cpu).toEqual({ total: 10, user: 0, system: 10 });
  });

  it('within a tick is divided as all that the process has done', () => {
    const { cpu } = costOf(usage(1000, 30, 10), usage(1100, 30, 10), 1);
    expect(cpu).toEqual({ total: 100, user: 75, system: 25 });
    expect(costOf(usage(0, 0, 0), usage(1, 0, 0), 1).cpu.user).toBe(1);
  });
});

it('a process has used CPU, and never less than before', () => {
  const first = usageOf(process.pid);
  const second = usageOf(process.pid);
  expect(first.cpu).toBeGreaterThan(0);
  expect(second.cpu).toBeGreaterThan(first.cpu);
  expect(second.ticks.user).toBeGreaterThanOrEqual(first.ticks.user);
});

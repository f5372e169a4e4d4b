/** Rates are per second that passed, and not per second that was asked for. */
import { expect, it, vi } from 'vitest';
import { run } from '../../../lib/commands/counters.js';

const perSecond = 1000;
const lookTakes = 200;

vi.mock('../../../lib/kernel/host-stats.js', () => ({
  stats: () => {
    const end = performance.now() + lookTakes;
    while (performance.now() < end);
    const TlsTxSw = Math.round((performance.now() / 1000) * perSecond);
    return { counters: { TlsTxSw }, interfaces: {}, sockets: null };
  },
}));

it('shows rates that are right although a look takes longer than the interval', async () => {
  let written = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
  try {
    expect(await run(['--watch', '--interval', '0.02', '--count', '3'])).toBe(0);
  } finally {
    vi.restoreAllMocks();
  }
  const rates = [...written.matchAll(/\+(\d+)\/s/g)].map(([, rate]) => Number(rate));
  expect(rates).toHaveLength(2);
  for (const rate of rates) expect(Math.abs(rate - perSecond)).toBeLessThan(perSecond / 10);
});

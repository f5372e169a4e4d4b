/** No figure in the README or in docs/performance.md but those of the newest committed result. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { drivers, isKtls } from '../../../benchmarks/drivers/driver.js';
import { documents } from '../../../benchmarks/report/document.js';
import { newestSource } from '../../../benchmarks/report/source.js';

const source = newestSource();
if (source === undefined) throw new Error('there is no result file');

const vectors = newestSource('vectors');

for (const [path, text] of await documents(source, vectors)) {
  it(`${path} is what npm run bench:report makes of ${source.path}`, () => {
    expect(readFileSync(path, 'utf8')).toBe(text);
  });
}

it('every figure under kernel TLS was proved by the kernel counters', () => {
  const trials = [source, vectors].flatMap((each) => each?.result.trials ?? []);
  const samples = trials.flatMap(({ figures }) =>
    figures
      .filter(({ driver }) => isKtls(driver) && drivers[driver].offload.length > 0)
      .flatMap((figures) => figures.samples),
  );
  expect(samples).not.toEqual([]);
  for (const { connections, offloaded } of samples) {
    expect(offloaded.tx).toBeGreaterThanOrEqual(connections);
    expect(offloaded.rx).toBeGreaterThanOrEqual(connections);
  }
});

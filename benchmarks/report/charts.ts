/** The charts of docs/performance.md, as SVG. */
import { type DriverName, drivers } from '../drivers/driver.js';
import { type TrialResult, has, medianOf } from '../result.js';
import { svg } from './svg.js';
import { unitOf, valueOf } from './tables.js';

/** Told apart by colour-blind eyes too (Okabe and Ito). */
const colours: Readonly<Record<DriverName, string>> = {
  http: '#999999',
  'http-sendfile': '#666666',
  https: '#0072B2',
  'tls.connect': '#0072B2',
  ktls: '#D55E00',
  'ktls.connect': '#D55E00',
  'ktls-sendfile': '#E69F00',
  'ktls-no-padding': '#E69F00',
  'ktls.connect-no-padding': '#E69F00',
  'ktls-fallback': '#CC79A7',
  nginx: '#56B4E9',
  'nginx-ktls': '#009E73',
  openssl: '#F0E442',
  'openssl-ktls': '#000000',
  undici: '#0072B2',
  'undici-ktls': '#D55E00',
};

const names = Object.keys(drivers) as DriverName[];

/** A trial's drivers side by side: CPU in user and kernel space, or what else the trial compares. */
export function chart(trial: TrialResult): string {
  const present = names.filter((name) => has(trial, name));
  const figures = present.map((name) => trial.figures.find(({ driver }) => driver === name)!);
  const bars =
    trial.metric === 'cpu'
      ? (['user', 'system'] as const).map((part) => {
          return {
            name: part,
            values: figures.map((each) => medianOf(each, (sample) => sample.cpu[part])),
          };
        })
      : trial.metric === 'memory'
        ? (['resident', 'kernel'] as const).map((part) => {
            return {
              name: part,
              values: figures.map((each) =>
                medianOf(each, (sample) => sample.memory![part] / 1024),
              ),
            };
          })
        : [{ name: 'p99', values: figures.map((each) => valueOf(trial, each)) }];
  return svg(720, 90 + 34 * present.length, {
    title: { text: trial.title, left: 8, top: 6, textStyle: { fontSize: 14 } },
    grid: { left: 150, right: 40, top: 40, bottom: 46 },
    xAxis: { type: 'value', name: unitOf(trial), nameLocation: 'middle', nameGap: 26 },
    yAxis: { type: 'category', inverse: true, data: present.map((name) => drivers[name].title) },
    series: bars.map(({ name, values }, index) => {
      return {
        name,
        type: 'bar',
        stack: 'all',
        barWidth: 20,
        // The second part of a bar is paler.
        data: values.map((value, at) => {
          const color = colours[present[at]!];
          return { value, itemStyle: { color, opacity: index === 0 ? 1 : 0.55 } };
        }),
      };
    }),
  });
}

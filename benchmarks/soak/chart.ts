/** The chart of a soak: memory and counts, by connections made. */
import { svg } from '../report/svg.js';
import type { SoakResult, SoakSample } from './result.js';

type Value = (sample: SoakSample) => number;

const mebibytes =
  (value: Value): Value =>
  (sample) =>
    Math.round((value(sample) / 2 ** 20) * 100) / 100;

/** Told apart by colour-blind eyes too (Okabe and Ito). */
const curves: readonly (readonly [name: string, colour: string, panel: 0 | 1, value: Value])[] = [
  ['server, resident', '#56B4E9', 0, mebibytes(({ server }) => server.resident)],
  ['clients, resident', '#E69F00', 0, mebibytes(({ client }) => client.resident)],
  ['server, heap and external', '#0072B2', 0, mebibytes(({ server }) => server.heap)],
  ['clients, heap and external', '#D55E00', 0, mebibytes(({ client }) => client.heap)],
  ['server, fds', '#0072B2', 1, ({ server }) => server.fds],
  ['server, handles', '#56B4E9', 1, ({ server }) => server.handles],
  ['clients, fds', '#D55E00', 1, ({ client }) => client.fds],
  ['clients, handles', '#E69F00', 1, ({ client }) => client.handles],
  ['keys in the kernel', '#009E73', 1, ({ keyed }) => keyed.tx + keyed.rx],
];

export function chart({ samples, machine }: SoakResult): string {
  const connections = samples.at(-1)?.connections ?? 0;
  const names = (panel: 0 | 1): string[] =>
    curves.filter((curve) => curve[2] === panel).map(([name]) => name);
  return svg(760, 620, {
    title: {
      text: `${connections.toLocaleString('en')} connections, Linux ${machine.kernel}, Node ${machine.node}`,
      left: 8,
      top: 6,
      textStyle: { fontSize: 14 },
    },
    grid: [
      { left: 60, right: 24, top: 84, height: 230 },
      { left: 60, right: 24, top: 404, height: 150 },
    ],
    legend: [
      { data: names(0), top: 32, left: 8 },
      { data: names(1), top: 352, left: 8 },
    ],
    xAxis: [
      { type: 'value', gridIndex: 0, max: connections },
      {
        type: 'value',
        gridIndex: 1,
        max: connections,
        name: 'connections made and closed',
        nameLocation: 'middle',
        nameGap: 28,
      },
    ],
    yAxis: [
      { type: 'value', gridIndex: 0, name: 'MiB', min: 0 },
      { type: 'value', gridIndex: 1, min: 0 },
    ],
    series: curves.map(([name, color, panel, value]) => {
      return {
        name,
        type: 'line',
        color,
        xAxisIndex: panel,
        yAxisIndex: panel,
        showSymbol: false,
        lineStyle: { width: 2 },
        data: samples.map((sample) => [sample.connections, value(sample)]),
      };
    }),
  });
}

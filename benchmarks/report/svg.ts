/** An echarts option as the text of an SVG file, the same text for the same figures. */
import * as echarts from 'echarts';

/** Sizes in pixels. */
export function svg(width: number, height: number, option: echarts.EChartsCoreOption): string {
  const image = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height });
  image.setOption({ animation: false, backgroundColor: '#ffffff', ...option });
  const text = image.renderToSVGString();
  image.dispose();
  // Images and classes are numbered over the whole process.
  const plain = text.replace(/zr\d+-/g, 'zr-');
  const classes = [...new Set(plain.match(/zr-cls-\d+/g))];
  return `${plain.replace(/zr-cls-\d+/g, (name) => `zr-cls-${classes.indexOf(name)}`)}\n`;
}

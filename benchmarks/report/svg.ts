/** An echarts option as the text of an SVG file, the same text for the same figures. */
import * as echarts from 'echarts';

/** Sizes in pixels. */
export function svg(width: number, height: number, option: echarts.EChartsCoreOption): string {
  const image = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height });
  image.setOption({ animation: false, backgroundColor: '#ffffff', ...option });
  const text = image.renderToSVGString();
  image.dispose();
  // Class names count up over the images of a process.
  return `${text.replace(/zr\d+-/g, 'zr-')}\n`;
}

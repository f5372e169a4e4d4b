/** A page with 200 assets and a film, and what a browser must find in each. */
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildOnce, cachePath } from '../../vm/cache.js';
import { run } from '../../vm/command.js';

const styles = 60;
const programs = 60;
const images = 80;
/** Of the film, in seconds. */
export const duration = 60;

/** Writes the site to an empty directory. @returns the number of its assets */
export async function writeSite(directory: string): Promise<number> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const digests: Record<string, string> = {};
  const write = (name: string, content: string | Buffer): string => {
    writeFileSync(join(directory, name), content);
    digests[name] = createHash('sha256').update(content).digest('hex');
    return name;
  };
  const each = (count: number, make: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => make(index)).join('\n');
  // Of many lengths, most of them more than a record.
  const filler = (index: number): string => randomBytes(100 + index * 400).toString('hex');

  const head = each(styles, (index) => {
    const css = `#p${index} { margin-left: ${index}px }\n/* ${filler(index)} */\n`;
    return `<link rel="stylesheet" href="${write(`style-${index}.css`, css)}">`;
  });
  const body = each(styles, (index) => `<p id="p${index}">`);
  const pictures = each(images, (index) => {
    return `<img src="${write(`image-${index}.bmp`, bitmap(8 + index, 64))}">`;
  });
  const scripts = each(programs, (index) => {
    const program = `loaded.add(${index});\n// ${filler(index)}\n`;
    return `<script src="${write(`program-${index}.js`, program)}"></script>`;
  });
  copyFileSync(await film(), join(directory, 'film.webm'));
  writeFileSync(
    join(directory, 'index.html'),
    `<!doctype html>
<meta charset="utf-8">
<title>assets</title>
<link rel="icon" href="data:,">
${head}
<script>const loaded = new Set();</script>
${body}
${pictures}
<video id="film" preload="metadata" muted src="film.webm"></video>
${scripts}
<script>const digests = ${JSON.stringify(digests)};</script>
<script>${inspection}</script>
`,
  );
  return Object.keys(digests).length;
}

/** What the page says of itself. */
export interface Findings {
  readonly styles: number;
  readonly programs: number;
  readonly images: number;
  /** Assets whose bytes are those that were written. */
  readonly intact: number;
  /** Where the film stands after each jump, in seconds, and whether a frame of it is there to see. */
  readonly jumps: readonly (readonly [seconds: number, visible: boolean])[];
}

/** In the page; `inspect()` resolves to `Findings`. */
const inspection = `
const settled = (target, event) => new Promise((resolve, reject) => {
  target.addEventListener(event, resolve, { once: true });
  target.addEventListener('error', () => reject(target.error ?? new Error(event)), { once: true });
});
async function inspect() {
  if (document.readyState !== 'complete') await settled(window, 'load');
  let intact = 0;
  for (const [name, digest] of Object.entries(digests)) {
    const bytes = await (await fetch(name, { cache: 'force-cache' })).arrayBuffer();
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex === digest) intact++;
  }
  const film = document.getElementById('film');
  if (film.readyState < 1) await settled(film, 'loadedmetadata');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [film.videoWidth, film.videoHeight];
  const context = canvas.getContext('2d');
  const jumps = [];
  for (const share of [0.9, 0.1, 0.5]) {
    film.currentTime = film.duration * share;
    await settled(film, 'seeked');
    context.drawImage(film, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    jumps.push([film.currentTime, new Set(data).size > 16]);
  }
  const margins = [...document.querySelectorAll('p')].map((p) => getComputedStyle(p).marginLeft);
  return {
    styles: margins.filter((margin, index) => margin === index + 'px').length,
    programs: loaded.size,
    images: [...document.images].filter((image) => image.naturalWidth > 0).length,
    intact,
    jumps,
  };
}
`;

export const expected: Omit<Findings, 'jumps'> = {
  styles,
  programs,
  images,
  intact: styles + programs + images,
};

/** A Windows bitmap of random pixels, 24 bits each. */
function bitmap(width: number, height: number): Buffer {
  const stride = Math.ceil((width * 3) / 4) * 4;
  const head = Buffer.alloc(54);
  head.write('BM');
  head.writeUInt32LE(head.length + stride * height, 2);
  head.writeUInt32LE(head.length, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  return Buffer.concat([head, randomBytes(stride * height)]);
}

/** Large enough that no browser takes all of it to show one place; made once. */
function film(): Promise<string> {
  return buildOnce(cachePath('film.webm'), async (directory) => {
    const file = join(directory, 'film.webm');
    const picture = `testsrc2=duration=${duration}:size=640x360:rate=25`;
    const codec = ['-c:v', 'libvpx', '-b:v', '4M', '-minrate', '4M', '-deadline', 'realtime'];
    const noise = ['-vf', 'noise=alls=40:allf=t', '-cpu-used', '8'];
    const input = ['-loglevel', 'error', '-f', 'lavfi', '-i', picture];
    await run('ffmpeg', [...input, ...noise, ...codec, '-g', '25', file]);
    return file;
  });
}

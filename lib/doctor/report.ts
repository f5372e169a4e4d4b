/** The findings as text and as JSON (docs/doctor.schema.json). */
import type { Finding, Section, Verdict } from './finding.js';

const marks: Readonly<Record<Verdict, string>> = {
  pass: 'pass',
  info: 'info',
  warn: 'WARN',
  fail: 'FAIL',
};
const colours: Readonly<Record<Verdict, number>> = { pass: 32, info: 36, warn: 33, fail: 31 };

export interface Report {
  readonly sections: readonly Section[];
  readonly counts: Readonly<Record<Verdict, number>>;
  /** `fail` if anything failed, else `warn` if anything is amiss, else `pass`. */
  readonly verdict: 'pass' | 'warn' | 'fail';
}

export function makeReport(sections: readonly Section[]): Report {
  const shown = sections.filter(({ findings }) => findings.length > 0);
  const counts = { pass: 0, info: 0, warn: 0, fail: 0 };
  for (const { verdict } of shown.flatMap(({ findings }) => findings)) counts[verdict]++;
  const verdict = counts.fail > 0 ? 'fail' : counts.warn > 0 ? 'warn' : 'pass';
  return { sections: shown, counts, verdict };
}

export function toText({ sections, counts }: Report, colour: boolean, width = 100): string {
  const lines: string[] = [];
  for (const { name, findings } of sections) {
    lines.push('', colour ? `\x1b[1m${name}\x1b[0m` : name);
    for (const finding of findings) lines.push(...findingLines(finding, colour, width));
  }
  const { pass, info, warn, fail } = counts;
  lines.push('', `${pass} pass, ${info} info, ${warn} warn, ${fail} fail`, '');
  return lines.slice(1).join('\n');
}

function findingLines(
  { verdict, title, why, fix }: Finding,
  colour: boolean,
  width: number,
): string[] {
  const mark = colour ? `\x1b[${colours[verdict]}m${marks[verdict]}\x1b[0m` : marks[verdict];
  const [first, ...rest] = wrap(`${title}: ${why}`, width - 8);
  const lines = [`  ${mark}  ${first!}`, ...rest.map((line) => `        ${line}`)];
  // Not wrapped: it is there to be copied.
  if (fix !== null) lines.push(`        $ ${fix}`);
  return lines;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

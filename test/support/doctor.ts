/** The package's commands in a process of their own, as `npx` starts them, and what the doctor reports. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import { expect } from 'vitest';
import type { Finding } from '../../lib/doctor/finding.js';
import type { Report } from '../../lib/doctor/report.js';
import { packageRoot } from './script.js';

export interface CommandEnded {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param before - A program that starts it, with arguments. */
export async function runCommand(args: string[], before: string[] = []): Promise<CommandEnded> {
  const [program, ...rest] = [
    ...before,
    process.execPath,
    join(packageRoot, 'dist/cli.js'),
    ...args,
  ];
  const child = spawn(program!, rest, { env: { ...process.env, NODE_OPTIONS: '' } });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (output.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output.stderr += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

const schema = (name: string): object =>
  JSON.parse(readFileSync(join(packageRoot, 'docs', name), 'utf8')) as object;

/** Throws unless the text is JSON of the form that the schema in `docs` promises. */
export function parsed(text: string, schemaName: string): unknown {
  const value: unknown = JSON.parse(text);
  const validate = new Ajv().compile(schema(schemaName));
  validate(value);
  expect(validate.errors).toBeNull();
  return value;
}

export interface DoctorReport {
  readonly code: number | null;
  readonly verdict: Report['verdict'];
  readonly findings: ReadonlyMap<string, Finding>;
}

/** What `ktls doctor --json` says, by the check's name; that its exit status fits is seen to here. */
export async function doctor(args: string[] = [], before?: string[]): Promise<DoctorReport> {
  const { code, stdout, stderr } = await runCommand(['doctor', '--json', ...args], before);
  expect(stderr).toBe('');
  const { verdict, sections } = parsed(stdout, 'doctor.schema.json') as Report;
  expect(code).toBe(verdict === 'fail' ? 1 : 0);
  const all = sections.flatMap(({ findings }) => findings);
  return { code, verdict, findings: new Map(all.map((finding) => [finding.check, finding])) };
}

/** The verdicts alone. */
export const verdicts = ({ findings }: DoctorReport): Record<string, string> =>
  Object.fromEntries([...findings].map(([check, { verdict }]) => [check, verdict]));

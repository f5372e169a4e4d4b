/** `ktls doctor` */
import { writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { parseArgs } from 'node:util';
import { examine } from '../doctor/examine.js';
import type { Section } from '../doctor/finding.js';
import { type TlsVersion, judgeAll, tryAddress, tryPeer } from '../doctor/live.js';
import { type Recording, recorded } from '../doctor/recording.js';
import { makeReport, toText } from '../doctor/report.js';
import { thisSystem } from '../doctor/system.js';
import { UsageError } from './usage.js';

export const help = `ktls doctor [--iface NAME]... [--connect HOST:PORT] [--json]

Says whether kernel TLS works on this machine, for this user, and with which network card; why not
where it does not; and the command that mends it.

  --iface NAME          look at this interface (default: every network card); may be repeated
  --connect HOST:PORT   try a TLS connection to this server, which then leaves the machine
  --no-live             only look; make no connection but the kernel probe's own on loopback
  --record FILE         write down what was read of the machine, for a bug report
  --json                the report as JSON (docs/doctor.schema.json)

Exit status: 0 if kernel TLS works (there may be warnings), 1 if something failed or FILE could not be
written.
`;

const versions: readonly TlsVersion[] = ['TLSv1.3', 'TLSv1.2'];

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      iface: { type: 'string', multiple: true, default: [] },
      connect: { type: 'string' },
      'no-live': { type: 'boolean', default: false },
      record: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const target = values.connect === undefined ? null : parseTarget(values.connect);
  const { system, recording } = recorded(thisSystem);
  const sections = examine(system, values.iface);
  const written = values.record === undefined || write(values.record, recording());
  if (!values['no-live'] && thisSystem.probe().available) {
    sections.push(await live(target, values.iface[0]));
  }
  const report = makeReport(sections);
  const { isTTY, columns } = process.stdout;
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : toText(report, isTTY, Math.min(columns || 100, 100)),
  );
  return report.verdict === 'fail' || !written ? 1 : 0;
}

/** That it cannot be written is no reason to keep the report to oneself. */
function write(path: string, recording: Recording): boolean {
  try {
    writeFileSync(path, `${JSON.stringify(recording, null, 1)}\n`);
    return true;
  } catch (error) {
    console.error(`ktls: --record: ${(error as Error).message}`);
    return false;
  }
}

interface Target {
  readonly host: string;
  readonly port: number;
}

function parseTarget(text: string): Target {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(text) ?? [];
  if (host === undefined) throw new UsageError(`--connect ${text}: not HOST:PORT`);
  const number = Number(port);
  if (number < 1 || number > 65_535) throw new UsageError(`--connect ${text}: no such port`);
  return { host, port: number };
}

async function live(target: Target | null, iface: string | undefined): Promise<Section> {
  const evidence = [];
  for (const version of versions) {
    evidence.push(
      await (target === null
        ? tryAddress(addressOf(iface) ?? '127.0.0.1', version)
        : tryPeer(target.host, target.port, version)),
    );
  }
  return { name: 'A real connection', findings: judgeAll(evidence) };
}

/** An address that needs no scope. */
function addressOf(iface: string | undefined): string | undefined {
  const addresses = networkInterfaces()[iface ?? ''] ?? [];
  return addresses.find(({ address }) => !address.startsWith('fe80'))?.address;
}

/** `ktls counters` */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { render } from '../counters/screen.js';
import { isNetworkAdmin, kernelVersion, thisSystem } from '../doctor/system.js';
import { type HostStats, stats } from '../kernel/host-stats.js';
import { UsageError } from './usage.js';

export const help = `ktls counters [--watch] [--json]

The kernel's TLS counters, those of the network cards (tx_tls_*, rx_tls_*), and every socket of this
network namespace that is under kernel TLS: version, cipher, who encrypts and decrypts (sw: the
kernel, hw: the card), zero-copy (ZC), no padding (NP), bytes not yet acknowledged.

  --watch           again and again, with rates
  --interval S      seconds between two looks (default 1)
  --count N         stop after so many looks
  --json            as JSON, one document a look (docs/counters.schema.json)
`;

const look = (): HostStats => stats({ interfaces: true, sockets: true });

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      watch: { type: 'boolean', default: false },
      interval: { type: 'string', default: '1' },
      count: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const seconds = positive('--interval', values.interval);
  const count = values.count === undefined ? Infinity : positive('--count', values.count);
  let now = look();
  let lookedAt = performance.now();
  show(now, null, seconds, values.json, values.watch);
  for (let shown = 1; values.watch && shown < count; shown++) {
    await delay(seconds * 1000);
    const before = now;
    const since = lookedAt;
    now = look();
    // To look takes time too, and timers are late.
    lookedAt = performance.now();
    show(now, before, (lookedAt - since) / 1000, values.json, true);
  }
  return now.counters === null ? 1 : 0;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new UsageError(`${option} ${text}: not a number above 0`);
  return value;
}

function show(
  now: HostStats,
  before: HostStats | null,
  seconds: number,
  json: boolean,
  watch: boolean,
): void {
  const { stdout } = process;
  if (json) {
    stdout.write(`${JSON.stringify(now, null, watch ? 0 : 2)}\n`);
    return;
  }
  const full = watch && stdout.isTTY;
  const text = render({
    now,
    before,
    seconds,
    width: stdout.columns || 80,
    height: full ? stdout.rows : Infinity,
    hint: hint(),
  });
  // Home, then what was there, erased: without the flicker of an empty screen.
  stdout.write(full ? `\x1b[H\x1b[J${text}` : watch ? `${text}\n` : text);
}

function hint(): string | null {
  const [major, minor] = kernelVersion(thisSystem);
  const tellsAll = major > 6 || (major === 6 && minor >= 15);
  return tellsAll || isNetworkAdmin(thisSystem)
    ? null
    : 'Before Linux 6.15 the kernel shows them only to root.';
}

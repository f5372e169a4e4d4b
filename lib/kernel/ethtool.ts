/**
 * What a network interface's driver says of itself: `SIOCETHTOOL`, answered to every user. The structures
 * are those of `<linux/ethtool.h>`, in the machine's byte order.
 */
import { readFileSync } from 'node:fs';
import { constants, endianness } from 'node:os';
import { type NativeBinding, loadBinding } from './binding.js';

const { EFAULT } = constants.errno;
const little = endianness() === 'LE';

const Command = {
  driverInfo: 0x3,
  strings: 0x1b,
  statistics: 0x1d,
  setInfo: 0x37,
  features: 0x3a,
  channels: 0x3c,
} as const;
/** `enum ethtool_stringset`. */
const StringSet = { statistics: 1, features: 4 } as const;
/** `ETH_GSTRING_LEN`. */
const nameLength = 32;
/** Other than by a driver's table growing between two questions an answer cannot outgrow its request. */
const attempts = 4;

/** One `NETIF_F_*` flag, as `ethtool -k` shows it. */
export interface Feature {
  readonly active: boolean;
  /** Whether `ethtool -K` can change it; otherwise it is "fixed". */
  readonly changeable: boolean;
}

/** What the driver of an interface says. Parts that it does not answer are empty. */
export interface InterfaceFacts {
  readonly driver: string | null;
  readonly firmware: string | null;
  readonly bus: string | null;
  readonly features: Readonly<Record<string, Feature>>;
  readonly statistics: Readonly<Record<string, number>>;
  /** Combined and separate queues, now and at most; `null` if the driver does not tell. */
  readonly channels: Channels | null;
}

export interface Channels {
  readonly maxCombined: number;
  readonly combined: number;
  readonly maxTx: number;
  readonly maxRx: number;
  readonly tx: number;
  readonly rx: number;
}

/** Asks the driver; `null` where there is no such interface or no addon. */
export function interfaceFacts(name: string): InterfaceFacts | null {
  const device = openInterface(name);
  return device === null
    ? null
    : {
        ...driverInfo(device),
        features: features(device),
        statistics: statistics(device),
        channels: channels(device),
      };
}

/** Only the driver's counters: what `counters --watch` reads again and again. */
export function interfaceStatistics(name: string): Readonly<Record<string, number>> {
  const device = openInterface(name);
  return device === null ? {} : statistics(device);
}

interface Device {
  readonly binding: NativeBinding;
  readonly index: number;
}

function openInterface(name: string): Device | null {
  const binding = loadBinding();
  if (binding instanceof Error || name.includes('/')) return null;
  try {
    return { binding, index: Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'latin1')) };
  } catch {
    return null;
  }
}

/** The answer to a request of `size` bytes that begins with these words, or the negated errno. */
function ask({ binding, index }: Device, size: number, ...words: number[]): DataView | number {
  const request = new Uint8Array(size);
  const view = new DataView(request.buffer);
  words.forEach((word, position) => view.setUint32(4 * position, word, little));
  const result = binding.ethtool(index, request);
  return result === 0 ? view : result;
}

function text(view: DataView, offset: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length);
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? length : end);
}

/** `struct ethtool_drvinfo`. */
function driverInfo(device: Device): Pick<InterfaceFacts, 'driver' | 'firmware' | 'bus'> {
  const view = ask(device, 196, Command.driverInfo);
  if (typeof view === 'number') return { driver: null, firmware: null, bus: null };
  const field = (offset: number): string | null => text(view, offset, 32) || null;
  return { driver: field(4), firmware: field(68), bus: field(100) };
}

/** `struct ethtool_sset_info` with room for the one set that is asked for. */
function countOf(device: Device, set: number): number {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, Command.setInfo, little);
  view.setBigUint64(8, 1n << BigInt(set), little);
  const result = device.binding.ethtool(device.index, new Uint8Array(view.buffer));
  if (result !== 0 || view.getBigUint64(8, little) === 0n) return 0;
  return view.getUint32(16, little);
}

/** `struct ethtool_gstrings`. */
function strings(device: Device, set: number): string[] {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const count = countOf(device, set);
    if (count === 0) return [];
    const view = ask(device, 12 + count * nameLength, Command.strings, set, count);
    if (view === -EFAULT) continue;
    if (typeof view === 'number') return [];
    const told = Math.min(count, view.getUint32(8, little));
    return Array.from({ length: told }, (_, each) =>
      text(view, 12 + each * nameLength, nameLength),
    );
  }
  return [];
}

/** `struct ethtool_gfeatures`: blocks of 32 flags, each available, requested, active, never_changed. */
function features(device: Device): Record<string, Feature> {
  const names = strings(device, StringSet.features);
  const blocks = Math.ceil(names.length / 32);
  const view = ask(device, 8 + 16 * blocks, Command.features, blocks);
  if (typeof view === 'number') return {};
  const bit = (position: number, field: number): boolean =>
    ((view.getUint32(8 + 16 * Math.floor(position / 32) + 4 * field, little) >>> (position % 32)) &
      1) ===
    1;
  return Object.fromEntries(
    names
      .map((name, position): [string, Feature] => [
        name,
        { active: bit(position, 2), changeable: bit(position, 0) && !bit(position, 3) },
      ])
      .filter(([name]) => name !== ''),
  );
}

/** `struct ethtool_stats`. */
function statistics(device: Device): Record<string, number> {
  const names = strings(device, StringSet.statistics);
  if (names.length === 0) return {};
  const view = ask(device, 8 + 8 * names.length, Command.statistics, names.length);
  if (typeof view === 'number') return {};
  return Object.fromEntries(
    names.map((name, position) => [name, Number(view.getBigUint64(8 + 8 * position, little))]),
  );
}

/** `struct ethtool_channels`. */
function channels(device: Device): Channels | null {
  const view = ask(device, 36, Command.channels);
  if (typeof view === 'number') return null;
  const field = (position: number): number => view.getUint32(4 * position, little);
  return {
    maxRx: field(1),
    maxTx: field(2),
    maxCombined: field(4),
    rx: field(5),
    tx: field(6),
    combined: field(8),
  };
}

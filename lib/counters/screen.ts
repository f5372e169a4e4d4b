/** Counters and sockets as text that fits a terminal. Pure: what changes from frame to frame is passed in. */
import type { HostStats } from '../kernel/host-stats.js';
import type { TlsSocket, TlsSocketMode } from '../kernel/tls-sockets.js';

export interface Frame {
  readonly now: HostStats;
  /** The counters one interval ago, for rates. */
  readonly before: HostStats | null;
  /** The interval, in seconds. */
  readonly seconds: number;
  readonly width: number;
  /** Lines that the screen has; sockets that do not fit are counted. */
  readonly height: number;
  /** Shown where there are no sockets. */
  readonly hint: string | null;
}

export function render(frame: Frame): string {
  const { now, before } = frame;
  const lines =
    now.counters === null
      ? ['The kernel has no TLS counters: no TLS, or its module is not loaded.']
      : counterLines('kernel', now.counters, before?.counters ?? null, frame);
  for (const [name, counters] of Object.entries(now.interfaces)) {
    lines.push('', ...counterLines(name, counters, before?.interfaces[name] ?? null, frame));
  }
  if (now.sockets !== null) {
    lines.push('', ...socketLines(now.sockets, frame, frame.height - lines.length - 5));
  }
  return `${lines.join('\n')}\n`;
}

type Counters = Readonly<Record<string, number>>;

/** The least of a name that tells it from the others. */
const LEAST_NAME = 14;

/** `name value rate/s`, in two columns where there is room. Names are shortened, figures never. */
function counterLines(
  title: string,
  now: Counters,
  before: Counters | null,
  { width, seconds }: Frame,
): string[] {
  const digits = longest(10, Object.values(now));
  const figures = digits + (before === null ? 1 : 10);
  const half = Math.floor((width - 2) / 2);
  const column = half - figures >= LEAST_NAME ? half : width;
  const room = Math.max(column - figures, LEAST_NAME);
  const cells = Object.entries(now).map(([name, value]) => {
    const change = before === null ? 0 : (value - (before[name] ?? 0)) / seconds;
    const rate = change === 0 ? '' : `${change > 0 ? '+' : ''}${round(change)}/s`;
    const numbers = `${String(value).padStart(digits)} ${rate.padStart(8)}`.trimEnd();
    return `${fitName(name, room)} ${numbers}`.padEnd(column);
  });
  if (column === width) return [title, ...cells.map((cell) => cell.trimEnd())];
  const rows = Math.ceil(cells.length / 2);
  return [
    title,
    ...Array.from({ length: rows }, (_, each) =>
      `${cells[each]!}  ${cells[each + rows] ?? ''}`.trimEnd(),
    ),
  ];
}

/** Of the numbers as text, and at least so much. */
const longest = (least: number, numbers: readonly number[]): number =>
  numbers.reduce((most, number) => Math.max(most, String(number).length), least);

/** At most five characters, so that the columns stay where they are. */
const round = (value: number): string => {
  const size = Math.abs(value);
  if (size >= 999_500) return `${(value / 1e6).toFixed(size < 99.95e6 ? 1 : 0)}M`;
  if (size >= 9_999.5) return `${Math.round(value / 1e3)}k`;
  return size >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
};

/** Names that begin alike differ at their ends. */
const fitName = (name: string, room: number): string =>
  name.length <= room ? name.padEnd(room) : `${name.slice(0, room - 9)}…${name.slice(-8)}`;

/** As many characters as there is room for; an ellipsis stands for what is missing. */
const fit = (text: string, room: number): string =>
  text.length <= room ? text.padEnd(room) : `${text.slice(0, room - 1)}…`;

const modes: Readonly<Record<TlsSocketMode, string>> = {
  none: '-',
  software: 'sw',
  device: 'hw',
  'hardware-record': 'toe',
};

function socketLines(sockets: readonly TlsSocket[], frame: Frame, room: number): string[] {
  const count = (mode: TlsSocketMode): number => sockets.filter(({ tx }) => tx === mode).length;
  const title = `sockets: ${sockets.length} (sending: ${count('device')} hw, ${count('software')} sw)`;
  const { hint, width } = frame;
  if (sockets.length === 0) return [title, ...(hint === null ? [] : [hint])];
  const digits = longest(
    6,
    sockets.map(({ sendQueue }) => sendQueue),
  );
  // What is left of the width after the other columns, for two addresses.
  const address = Math.max(12, Math.floor((width - 32 - digits) / 2));
  const row = (...[local, peer, tls, cipher, tx, rx, zc, np, queue]: string[]): string => {
    const cells = [
      fit(local!, address),
      fit(peer!, address),
      tls!.padEnd(3),
      fit(cipher!, 11),
      tx!.padEnd(3),
      rx!.padEnd(3),
      zc!.padEnd(2),
      np!.padEnd(2),
      queue!.padStart(digits),
    ];
    // Half a figure would be another one.
    while (cells.join(' ').length > width && cells.length > 1) cells.pop();
    return cells.join(' ');
  };
  const shown = sockets.slice(0, Math.max(room, 1));
  return [
    title,
    row('LOCAL', 'PEER', 'TLS', 'CIPHER', 'TX', 'RX', 'ZC', 'NP', 'SEND-Q'),
    ...shown.map((socket) =>
      row(
        socket.local,
        socket.peer,
        socket.version?.slice(4) ?? '-',
        (socket.cipher ?? '-').replace('-poly1305', ''),
        modes[socket.tx],
        modes[socket.rx],
        socket.zeroCopy ? 'y' : '-',
        socket.noPad ? 'y' : '-',
        String(socket.sendQueue),
      ),
    ),
    ...(shown.length < sockets.length ? [`… and ${sockets.length - shown.length} more`] : []),
  ];
}

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
  return `${lines.map((line) => line.slice(0, frame.width)).join('\n')}\n`;
}

type Counters = Readonly<Record<string, number>>;

/** Two columns of `name value rate/s`. */
function counterLines(
  title: string,
  now: Counters,
  before: Counters | null,
  { width, seconds }: Frame,
): string[] {
  const column = Math.floor((width - 2) / 2);
  const cells = Object.entries(now).map(([name, value]) => {
    const change = before === null ? 0 : (value - (before[name] ?? 0)) / seconds;
    const rate =
      before === null ? '' : change === 0 ? '' : `${change > 0 ? '+' : ''}${round(change)}/s`;
    const numbers =
      `${String(value).padStart(10)} ${rate.padStart(before === null ? 0 : 8)}`.trimEnd();
    const room = column - (before === null ? 11 : 20);
    return `${fitName(name, room)} ${numbers}`.padEnd(column);
  });
  const half = Math.ceil(cells.length / 2);
  const rows = Array.from({ length: half }, (_, each) =>
    `${cells[each]!}  ${cells[each + half] ?? ''}`.trimEnd(),
  );
  return [title, ...rows];
}

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
  if (sockets.length === 0) return [title, ...(frame.hint === null ? [] : [frame.hint])];
  // What is left of the width after the other columns, for two addresses.
  const address = Math.max(12, Math.floor((frame.width - 38) / 2));
  const row = (...[local, peer, tls, cipher, tx, rx, zc, np, queue]: string[]): string =>
    [
      fit(local!, address),
      fit(peer!, address),
      tls!.padEnd(3),
      fit(cipher!, 11),
      tx!.padEnd(3),
      rx!.padEnd(3),
      zc!.padEnd(2),
      np!.padEnd(2),
      queue!.padStart(6),
    ].join(' ');
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

/** Where a server's log lines and the progress of its transfers go to. */

export interface TransferState {
  /** Of this transfer, among those of all workers. */
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  readonly total: number;
}

export interface Reporter {
  /** Of the access log. */
  line(text: string): void;
  /** Something about the server itself. */
  note(text: string): void;
  transfer(state: TransferState): void;
  done(id: string): void;
}

/** A line is written at once, so that those of several processes do not mix. */
export const lines: Reporter = {
  line: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`ktls: ${text}\n`),
  transfer: () => undefined,
  done: () => undefined,
};

export const silent: Reporter = { ...lines, line: () => undefined };

const REDRAW_MS = 100;

interface Running extends TransferState {
  readonly since: number;
  readonly from: number;
}

/** A terminal: below the log one line for each transfer that is under way. */
export class Screen implements Reporter {
  readonly #out: NodeJS.WriteStream;
  readonly #logs: boolean;
  readonly #running = new Map<string, Running>();
  #drawn = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(out: NodeJS.WriteStream, logs: boolean) {
    this.#out = out;
    this.#logs = logs;
  }

  line(text: string): void {
    if (this.#logs) this.#draw(`${text}\n`);
  }

  note(text: string): void {
    this.#draw(`ktls: ${text}\n`);
  }

  transfer(state: TransferState): void {
    const { since, from } = this.#running.get(state.id) ?? { since: Date.now(), from: state.bytes };
    this.#running.set(state.id, { ...state, since, from });
    this.#soon();
  }

  done(id: string): void {
    if (this.#running.delete(id)) this.#soon();
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => this.#draw(''), REDRAW_MS).unref();
  }

  #draw(above: string): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const { columns, rows } = this.#out;
    const shown = [...this.#running.values()].slice(0, Math.max(1, (rows || 24) - 2));
    const now = Date.now();
    const text = shown.map((transfer) => {
      const seconds = (now - transfer.since) / 1000;
      const rate = seconds > 0 ? (transfer.bytes - transfer.from) / seconds : 0;
      return `${progressLine(transfer, rate, (columns || 80) - 1)}\n`;
    });
    // Up to where the last ones began, and erase from there.
    const erase = this.#drawn > 0 ? `\x1b[${this.#drawn}A\x1b[J` : '';
    this.#drawn = shown.length;
    this.#out.write(erase + above + text.join(''));
  }
}

const LEAST_NAME = 8;

/**
 * Never longer than the width: a line that the terminal wraps would be two to erase.
 * @param rate - In bytes per second.
 */
export function progressLine(
  { name, bytes, total }: Omit<TransferState, 'id'>,
  rate: number,
  width: number,
): string {
  const percent = `${Math.floor((100 * bytes) / total)}%`.padStart(4);
  const size = `${percent} ${amount(bytes)} of ${amount(total)}`;
  const candidates = [`${size}, ${amount(rate)}/s`, size, percent];
  const figures = candidates.find(({ length }) => length + 1 + LEAST_NAME <= width) ?? percent;
  const room = Math.max(1, width - figures.length - 1);
  const printable = name.replace(/[^\x20-\x7e]/g, '?');
  const shown =
    printable.length > room ? `…${printable.slice(printable.length - room + 1)}` : printable;
  return `${shown.padEnd(room)} ${figures}`.slice(0, width);
}

function amount(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]!}`;
}

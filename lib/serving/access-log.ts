/** The access log's lines: in the Common Log Format, or as JSON. */

export interface Served {
  readonly address: string | undefined;
  /** When the request came. */
  readonly date: Date;
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly status: number;
  /** Of the body. */
  readonly bytes: number;
  readonly offloaded: boolean;
}

export function jsonLine({ date, ...served }: Served): string {
  return JSON.stringify({ date: date.toISOString(), ...served });
}

export function logLine({ address, date, method, url, httpVersion, ...rest }: Served): string {
  const request = `${method} ${escape(url)} HTTP/${httpVersion}`;
  const bytes = rest.bytes === 0 ? '-' : rest.bytes;
  return `${address ?? '-'} - - [${timestamp(date)}] "${request}" ${rest.status} ${bytes}`;
}

/** So that no request can write a line, or an order to the terminal, of its own. */
function escape(text: string): string {
  return text.replace(/["\\]|[^\x20-\x7e]/g, (char) =>
    char === '"' || char === '\\'
      ? `\\${char}`
      : [...Buffer.from(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const day = `${two(date.getDate())}/${months[date.getMonth()]!}/${date.getFullYear()}`;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${day}:${time} ${zone}`;
}

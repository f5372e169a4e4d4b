/** The measured process of a client trial: downloads over one connection, as often as it is told. */
import * as tls from 'node:tls';
import ktls from 'ktls';

/** What the measured process gets in its first argument. */
export interface ClientSettings {
  readonly driver: 'tls.connect' | 'ktls.connect' | 'ktls.connect-no-padding';
  readonly port: number;
  readonly path: string;
  readonly length: number;
}

const { driver, port, path, length } = JSON.parse(process.argv[2]!) as ClientSettings;
const options = { port, host: '127.0.0.1', rejectUnauthorized: false };
const expectNoPadding = driver === 'ktls.connect-no-padding';
const socket =
  driver === 'tls.connect'
    ? tls.connect(options)
    : ktls.connect({ ...options, mode: 'require', expectNoPadding });

/** One HTTP response: its head, then `length` bytes. */
let expected = Infinity;
let head = '';
socket.on('data', (chunk: Buffer) => {
  if (expected === Infinity) {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    expected = length - (head.length - end - 4);
  } else {
    expected -= chunk.length;
  }
  if (expected <= 0) {
    expected = Infinity;
    head = '';
    process.send!('done');
  }
});
socket.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
socket.on('secureConnect', () => process.send!('ready'));
process.on('message', () => {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
});
process.on('disconnect', () => process.exit());

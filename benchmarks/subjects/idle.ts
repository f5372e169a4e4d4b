/** Holds idle connections, as many as it is told: each has had one request answered. */
import { once } from 'node:events';
import * as net from 'node:net';
import * as tls from 'node:tls';

/** What the process gets in its first argument. */
export interface IdleSettings {
  readonly port: number;
  readonly secure: boolean;
}

const { port, secure } = JSON.parse(process.argv[2]!) as IdleSettings;
const AT_ONCE = 20;

const held: net.Socket[] = [];

async function open(): Promise<void> {
  const socket = secure
    ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : net.connect({ port, host: '127.0.0.1' });
  held.push(socket);
  socket.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  socket.write('GET /memory/1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error(String(answer));
}

async function hold(count: number): Promise<void> {
  const closed = held.splice(count).map((socket) => {
    socket.destroy();
    return once(socket, 'close');
  });
  await Promise.all(closed);
  while (held.length < count) {
    const more = Math.min(AT_ONCE, count - held.length);
    await Promise.all(Array.from({ length: more }, open));
  }
  process.send!('held');
}

process.on('message', (count) => void hold(Number(count)));
process.on('disconnect', () => process.exit());
process.send!('ready');

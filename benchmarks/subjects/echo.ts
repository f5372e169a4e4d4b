/** Sends bytes to an echo server and takes them back, both at the same time. */
import * as net from 'node:net';
import * as tls from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { once } from 'node:events';

/** What the process gets in its first argument. */
export interface EchoSettings {
  readonly port: number;
  readonly secure: boolean;
}

const { port, secure } = JSON.parse(process.argv[2]!) as EchoSettings;
const chunk = Buffer.alloc(64 * 1024, 'echo');

const socket = secure
  ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  : net.connect({ port, host: '127.0.0.1' });

let missing = 0;
socket.on('data', (data: Buffer) => {
  missing -= data.length;
  if (missing === 0) process.send!('done');
});
socket.on('error', (error) => {
  console.error(error);
  process.exit(1);
});

async function send(bytes: number): Promise<void> {
  missing = bytes;
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain');
    else await nextTurn();
  }
}

socket.on(secure ? 'secureConnect' : 'connect', () => process.send!('ready'));
/** A number of bytes, a multiple of the chunk's. */
process.on('message', (bytes) => void send(Number(bytes)));
process.on('disconnect', () => process.exit());

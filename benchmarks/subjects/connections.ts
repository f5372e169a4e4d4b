/** Makes connections one after the other, as many as it is told: each has one request answered. */
import { once } from 'node:events';
import * as tls from 'node:tls';

/** What the process gets in its first argument. */
export interface ConnectionsSettings {
  readonly port: number;
  /** Whether each resumes the session of the one before it. */
  readonly resumed: boolean;
}

const { port, resumed } = JSON.parse(process.argv[2]!) as ConnectionsSettings;
let session: Buffer | undefined;
let made = 0;

async function connect(): Promise<void> {
  const known = session;
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...(known === undefined ? {} : { session: known }),
  });
  if (resumed) socket.on('session', (received: Buffer) => (session = received));
  socket.write('GET /memory/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  let reused = false;
  socket.on('secureConnect', () => (reused = socket.isSessionReused()));
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  await once(socket, 'close');
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(answer);
  if (reused !== (resumed && made > 0)) throw new Error(`connection ${made}: resumed ${reused}`);
  made++;
}

async function run(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await connect();
  process.send!('done');
}

process.on('message', (count) => void run(Number(count)));
process.on('disconnect', () => process.exit());
process.send!('ready');

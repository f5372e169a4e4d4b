/** The measured process of undici's client trial: downloads over one connection, as often as it is told. */
import * as tls from 'node:tls';
import ktls from 'ktls';
import { Client, type buildConnector } from 'undici';

/** What the measured process gets in its first argument. */
export interface UndiciSettings {
  readonly driver: 'undici' | 'undici-ktls';
  readonly port: number;
  readonly path: string;
  readonly length: number;
}

const { driver, port, path, length } = JSON.parse(process.argv[2]!) as UndiciSettings;

/** The same for both, but for the socket. */
const connect: buildConnector.connector = (_, callback) => {
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false };
  const socket =
    driver === 'undici' ? tls.connect(options) : ktls.connect({ ...options, mode: 'require' });
  const failed = (error: Error): void => callback(error, null);
  socket.once('error', failed);
  socket.once('secureConnect', () => {
    socket.off('error', failed);
    callback(null, socket);
  });
};

const client = new Client(`https://127.0.0.1:${port}`, { connect });

async function download(): Promise<void> {
  const { body } = await client.request({ path, method: 'GET' });
  let bytes = 0;
  for await (const chunk of body) bytes += (chunk as Buffer).length;
  if (bytes !== length) throw new Error(`${bytes} bytes of ${length}`);
  process.send!('done');
}

process.on('message', () => void download());
process.on('disconnect', () => process.exit());
process.send!('ready');

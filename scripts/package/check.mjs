// Runs in the clean root, beside the installed package: `node check.mjs`, with `offload` where the kernel
// has TLS. Says what it found as one line of JSON.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import ktls from 'ktls';

const { available, reason } = ktls.probe();
const addons = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'));
const result = { addons, available, reason: reason?.code ?? null };

if (process.argv[2] === 'offload') {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(name));
  const server = ktls.createServer({ key, cert, mode: 'require' }, (socket) => socket.pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const options = { port: server.address().port, host: '127.0.0.1', servername: 'localhost' };
  const socket = ktls.connect({ ...options, ca: cert, mode: 'require' });
  await once(socket, 'secureConnect');
  socket.end('through the kernel');
  let echo = '';
  for await (const chunk of socket) echo += chunk;
  server.close();
  result.echo = echo;
  result.offload = socket.offload;
}

console.log(JSON.stringify(result));

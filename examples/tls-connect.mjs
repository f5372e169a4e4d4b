// ktls.connect in the place of tls.connect: a request over a bare socket.
//   HOST=example.com PORT=443 node examples/tls-connect.mjs
import { readFileSync } from 'node:fs';
import ktls from 'ktls';

const { HOST = 'localhost', PORT = '443', CA } = process.env;

const socket = ktls.connect({
  host: HOST,
  port: Number(PORT),
  servername: HOST,
  ...(CA && { ca: readFileSync(CA) }),
});
socket.on('secureConnect', () => {
  const { offloaded, reason } = socket.offload;
  console.log(`client: ${offloaded ? 'kernel' : reason}`);
});
socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
socket.setEncoding('utf8');
for await (const text of socket) process.stdout.write(text);

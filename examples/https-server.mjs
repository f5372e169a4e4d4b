// An https server under kernel TLS: node:https as ever, and one line.
//   KEY=key.pem CERT=cert.pem PORT=8443 node examples/https-server.mjs
import { readFileSync } from 'node:fs';
import https from 'node:https';
import ktls from 'ktls';

const { KEY, CERT, PORT = '8443' } = process.env;

const server = https.createServer(
  { key: readFileSync(KEY), cert: readFileSync(CERT) },
  (request, response) => {
    const { offloaded, reason } = request.socket.offload;
    response.setHeader('x-offload', offloaded ? 'kernel' : reason);
    response.end('hello\n');
  },
);
ktls.offload(server);
server.listen(Number(PORT), () => console.log(`listening on ${server.address().port}`));

// Express under kernel TLS, with a directory whose files go from the page cache to the wire.
//   KEY=key.pem CERT=cert.pem PORT=8443 ROOT=public node examples/express.mjs
import { readFileSync } from 'node:fs';
import express from 'express';
import https from 'ktls/https';
import serveStatic from 'ktls/serve-static';

const { KEY, CERT, PORT = '8443', ROOT = '.' } = process.env;

const app = express();
app.use((request, response, next) => {
  const { offloaded, reason } = request.socket.offload;
  response.set('x-offload', offloaded ? 'kernel' : reason);
  next();
});
app.get('/', (request, response) => response.send('hello\n'));
app.use('/files', serveStatic(ROOT));

const server = https.createServer({ key: readFileSync(KEY), cert: readFileSync(CERT) }, app);
server.listen(Number(PORT), () => console.log(`listening on ${server.address().port}`));

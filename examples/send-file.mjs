// One file as an HTTP response, by sendfile(2), with the range that was asked for.
//   KEY=key.pem CERT=cert.pem PORT=8443 FILE=video.mp4 node examples/send-file.mjs
import { readFileSync, statSync } from 'node:fs';
import https from 'ktls/https';
import { sendFile } from 'ktls';

const { KEY, CERT, PORT = '8443', FILE } = process.env;

const server = https.createServer(
  { key: readFileSync(KEY), cert: readFileSync(CERT) },
  async (request, response) => {
    const { offloaded, reason } = request.socket.offload;
    response.setHeader('x-offload', offloaded ? 'kernel' : reason);
    const { size } = statSync(FILE);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start > 0 && start >= size) {
      response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
      return;
    }
    if (start > 0) {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${start}-${size - 1}/${size}`);
    }
    response.setHeader('content-length', size - start);
    try {
      await sendFile(response, FILE, { start });
      response.end();
    } catch (error) {
      // The client has gone, say: no reason to end the process, which a rejection that nobody handles does.
      console.error(error.message);
      response.destroy();
    }
  },
);
server.listen(Number(PORT), () => console.log(`listening on ${server.address().port}`));

// undici (the client behind fetch) over kernel TLS: a connector makes its sockets.
//   URL=https://example.com/ node examples/undici.mjs
import { readFileSync } from 'node:fs';
import ktls from 'ktls';
import { Agent, request } from 'undici';

const { URL: url = 'https://localhost/', CA } = process.env;

const agent = new Agent({
  connect({ hostname, port, servername }, callback) {
    const socket = ktls.connect({
      host: hostname,
      port: Number(port) || 443,
      servername: servername ?? hostname,
      ALPNProtocols: ['http/1.1'],
      ...(CA && { ca: readFileSync(CA) }),
    });
    const failed = (error) => callback(error, null);
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      const { offloaded, reason } = socket.offload;
      console.log(`client: ${offloaded ? 'kernel' : reason}`);
      callback(null, socket);
    });
  },
});

const { statusCode, body } = await request(url, { dispatcher: agent });
console.log(statusCode, await body.text());
await agent.close();

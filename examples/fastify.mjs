// Fastify under kernel TLS: it makes its https server itself, so the server is offloaded afterwards.
//   KEY=key.pem CERT=cert.pem PORT=8443 ROOT=public node examples/fastify.mjs
import { readFileSync } from 'node:fs';
import fastify from 'fastify';
import ktls from 'ktls';
import { fastifyStatic } from 'ktls/serve-static';

const { KEY, CERT, PORT = '8443', ROOT = '.' } = process.env;

const app = fastify({ https: { key: readFileSync(KEY), cert: readFileSync(CERT) } });
app.addHook('onRequest', async (request, reply) => {
  const { offloaded, reason } = request.raw.socket.offload;
  reply.header('x-offload', offloaded ? 'kernel' : reason);
});
app.get('/', async () => 'hello\n');
app.register(fastifyStatic, { root: ROOT, prefix: '/files' });

ktls.offload(app.server);
// One address: for `localhost` it makes a second server, of which `app.server` is not told.
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
console.log(`listening on ${app.server.address().port}`);

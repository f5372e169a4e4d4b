// A program that knows nothing of ktls: what is loaded ahead of it offloads its connections.
//   URL=https://example.com/ node --import ktls/register examples/register.mjs
import { readFileSync } from 'node:fs';
import https from 'node:https';

const { URL: url = 'https://localhost/', CA } = process.env;

https.get(url, { ...(CA && { ca: readFileSync(CA) }) }, (response) => {
  // Without ktls/register its socket has no `offload`.
  const { offloaded, reason } = response.socket.offload ?? { reason: 'not registered' };
  console.log(`client: ${offloaded ? 'kernel' : reason}`);
  response.pipe(process.stdout);
});

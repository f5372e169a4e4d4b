/** The same server under kernel TLS; a connection that is not offloaded fails. */
import { createReadStream } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createServer } from 'node:https';
import ktls from 'ktls';
import { type Driver, tlsOptions } from './driver.js';

export const driver: Driver = {
  listen: (handler, tls) =>
    ktls.offload(createServer(tlsOptions(tls), handler), { mode: 'require' }),
  listenHttp2: (handler, tls) =>
    ktls.offload(createSecureServer(tlsOptions(tls), handler), { mode: 'require' }),
  sendFile: (response, path) => void createReadStream(path).pipe(response),
  echo: (tls) =>
    ktls.createServer(
      { ...tlsOptions(tls), mode: 'require' },
      (socket) => void socket.pipe(socket),
    ),
};

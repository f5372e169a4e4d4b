/** node:https as it is: what kernel TLS is compared with. */
import { createReadStream } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createServer } from 'node:https';
import * as nodeTls from 'node:tls';
import { type Driver, tlsOptions } from './driver.js';

export const driver: Driver = {
  listen: (handler, tls) => createServer(tlsOptions(tls), handler),
  listenHttp2: (handler, tls) => createSecureServer(tlsOptions(tls), handler),
  sendFile: (response, path) => void createReadStream(path).pipe(response),
  echo: (tls) => nodeTls.createServer(tlsOptions(tls), (socket) => void socket.pipe(socket)),
};

/** node:https as it is: what kernel TLS is compared with. */
import { createReadStream } from 'node:fs';
import { createServer } from 'node:https';
import { type Driver, tlsOptions } from './driver.js';

export const driver: Driver = {
  listen: (handler, tls) => createServer(tlsOptions(tls), handler),
  sendFile: (response, path) => void createReadStream(path).pipe(response),
};

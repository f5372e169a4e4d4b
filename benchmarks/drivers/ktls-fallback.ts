/** An offloaded server where the kernel has no TLS: all is left to node:https. */
import { createServer } from 'node:https';
import ktls from 'ktls';
import { type Driver, tlsOptions } from './driver.js';
import { driver as https } from './https.js';

export const driver: Driver = {
  ...https,
  listen: (handler, tls) => ktls.offload(createServer(tlsOptions(tls), handler)),
};

/** The same for peers that are trusted not to pad their records. */
import { createServer } from 'node:https';
import ktls from 'ktls';
import { type Driver, tlsOptions } from './driver.js';
import { driver as ktlsDriver } from './ktls.js';

export const driver: Driver = {
  ...ktlsDriver,
  listen: (handler, tls) =>
    ktls.offload(createServer(tlsOptions(tls), handler), {
      mode: 'require',
      expectNoPadding: true,
    }),
};

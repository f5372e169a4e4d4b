/** node:http without TLS, and files by sendfile(2): the floor of files. */
import type { Driver } from './driver.js';
import { driver as http } from './http.js';
import { driver as ktlsSendfile } from './ktls-sendfile.js';

export const driver: Driver = {
  ...http,
  sendFile: (response, path) => ktlsSendfile.sendFile(response, path),
};

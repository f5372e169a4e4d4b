/** node:http without TLS: the floor. */
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import * as net from 'node:net';
import type { Driver } from './driver.js';

export const driver: Driver = {
  listen: (handler) => createServer(handler),
  listenHttp2: (handler) => createHttp2Server(handler),
  sendFile: (response, path) => void createReadStream(path).pipe(response),
  echo: () => net.createServer((socket) => void socket.pipe(socket)),
};

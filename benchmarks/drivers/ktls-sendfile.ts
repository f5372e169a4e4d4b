/** Kernel TLS, and files by sendfile(2). */
import type { ServerResponse } from 'node:http';
import { sendFile } from 'ktls';
import type { Driver } from './driver.js';
import { driver as ktls } from './ktls.js';

async function answer(response: ServerResponse, path: string): Promise<void> {
  await sendFile(response, path);
  response.end();
}

export const driver: Driver = {
  ...ktls,
  sendFile: (response, path) => void answer(response, path),
};

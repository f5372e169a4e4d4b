/** Kernel TLS, and files by sendfile(2). */
import type { ServerResponse } from 'node:http';
import { sendFile } from 'ktls';
import type { Driver } from './driver.js';
import { driver as ktls } from './ktls.js';

/** A load that ends by the clock leaves in the middle of a file. */
async function answer(response: ServerResponse, path: string): Promise<void> {
  try {
    await sendFile(response, path);
    response.end();
  } catch {
    response.destroy();
  }
}

export const driver: Driver = {
  ...ktls,
  sendFile: (response, path) => void answer(response, path),
};

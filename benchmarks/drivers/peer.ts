/** Servers that are not Node, to measure Node by. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../ports.js';
import type { TlsSettings } from './driver.js';

export interface PeerSettings {
  readonly tls: TlsSettings;
  readonly kernelTls: boolean;
  /** Holds the content, and gets the configuration. */
  readonly folder: string;
}

export interface RunningPeer {
  readonly process: ChildProcess;
  readonly port: number;
}

/** @returns when it accepts connections. @throws Error if it does not */
export async function listening(child: ChildProcess, port: number): Promise<RunningPeer> {
  for (let tries = 0; !(await accepts(port)); tries++) {
    if (child.exitCode !== null || tries === 1000) {
      throw new Error(`${child.spawnfile} does not listen`);
    }
    await sleep(10);
  }
  return { process: child, port };
}

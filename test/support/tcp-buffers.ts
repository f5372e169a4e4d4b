/** The sizes of TCP's buffers, for the sockets made from now on. Node has no option for them. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'vitest';

/** `min default max` in bytes, as Documentation/networking/ip-sysctl.rst has it. */
export interface TcpBuffers {
  readonly wmem: string;
  readonly rmem: string;
}

const file = (name: string): string => `/proc/sys/net/ipv4/tcp_${name}`;

/** @returns how to undo it; `null` where only root could do it, and then nothing is changed. */
export function setTcpBuffers(buffers: TcpBuffers): (() => void) | null {
  const before = Object.keys(buffers).map((name) => [name, readFileSync(file(name), 'latin1')]);
  try {
    for (const [name, sizes] of Object.entries(buffers)) writeFileSync(file(name), sizes as string);
  } catch {
    return null;
  }
  return () => {
    for (const [name, sizes] of before) writeFileSync(file(name!), sizes!);
  };
}

/** Buffers that no file fits into: those that TCP has grow. */
export const narrow: TcpBuffers = { wmem: '4096 65536 65536', rmem: '4096 65536 65536' };

/** Up to the end of the test, which is skipped where only root could do it. */
export function limitTcpBuffers(context: TestContext, buffers: TcpBuffers): void {
  const restore = setTcpBuffers(buffers);
  if (restore === null) context.skip();
  else context.onTestFinished(restore);
}

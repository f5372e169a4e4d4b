/** The sizes of TCP's buffers, for the sockets made from now on. Node has no option for them. */
import { readFileSync, writeFileSync } from 'node:fs';

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

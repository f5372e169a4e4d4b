/** Every socket of this host that is under kernel TLS, whoever opened it: `NETLINK_SOCK_DIAG`. */
import { endianness } from 'node:os';
import { cipherSuites } from '../tls/cipher-suites.js';
import { loadBinding } from './binding.js';

/** `struct TlsSocketRecord` of src-native/sock_diag_dump.h. */
const recordSize = 64;
const little = endianness() === 'LE';

/** `none`: this direction has no key and is in clear. */
export type TlsSocketMode = 'none' | 'software' | 'device' | 'hardware-record';

export interface TlsSocket {
  readonly local: string;
  readonly peer: string;
  /** As `ss` has it: `ESTAB`, `CLOSE-WAIT`, … */
  readonly state: string;
  /** `TLSv1.3`, `TLSv1.2`, or `null` before keys are set. */
  readonly version: string | null;
  /** The AEAD, such as `aes-128-gcm`; `null` before keys are set. */
  readonly cipher: string | null;
  readonly tx: TlsSocketMode;
  readonly rx: TlsSocketMode;
  /** `TLS_TX_ZEROCOPY_RO` is set. */
  readonly zeroCopy: boolean;
  /** `TLS_RX_EXPECT_NO_PAD` is set. */
  readonly noPad: boolean;
  /** `TLS_TX_MAX_PAYLOAD_LEN`, in bytes; `null` where the kernel does not tell. */
  readonly maxPayload: number | null;
  readonly uid: number;
  /** The number in the `socket:[…]` links of `/proc/<pid>/fd`; 0 if no process has it any more. */
  readonly inode: number;
  /** Bytes that wait to be read, and to be acknowledged. */
  readonly receiveQueue: number;
  readonly sendQueue: number;
}

/** TCP states by number, <net/tcp_states.h>, in the words of `ss`. */
const states: Readonly<Record<number, string>> = {
  1: 'ESTAB',
  4: 'FIN-WAIT-1',
  5: 'FIN-WAIT-2',
  8: 'CLOSE-WAIT',
  9: 'LAST-ACK',
  11: 'CLOSING',
};
const versions: Readonly<Record<number, string>> = { 0x303: 'TLSv1.2', 0x304: 'TLSv1.3' };
/** `TLS_CONF_*` of <linux/tls.h>. */
const modes: readonly TlsSocketMode[] = ['none', 'none', 'software', 'device', 'hardware-record'];
const ciphers = new Map<number, string>([
  ...cipherSuites.map(({ kernelCipher, algorithm }): [number, string] => [kernelCipher, algorithm]),
  [55, 'sm4-gcm'],
  [56, 'sm4-ccm'],
]);

/**
 * The kTLS sockets of this network namespace; `null` where nobody can tell: no addon, or no `tcp_diag`
 * in the kernel. Before Linux 6.15 the list is empty for those without `CAP_NET_ADMIN`.
 */
export function tlsSockets(): readonly TlsSocket[] | null {
  const binding = loadBinding();
  if (binding instanceof Error) return null;
  const bytes = binding.tlsSockets();
  return typeof bytes === 'number' ? null : parseTlsSockets(bytes);
}

export function parseTlsSockets(bytes: Uint8Array): readonly TlsSocket[] {
  const sockets: TlsSocket[] = [];
  for (let at = 0; at + recordSize <= bytes.length; at += recordSize) {
    sockets.push(parse(bytes.subarray(at, at + recordSize)));
  }
  return sockets;
}

function parse(bytes: Uint8Array): TlsSocket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u16 = (offset: number): number => view.getUint16(offset, little);
  const u32 = (offset: number): number => view.getUint32(offset, little);
  const family = view.getUint8(0);
  const cipher = u16(6);
  const endpoint = (offset: number, port: number): string =>
    family === 4
      ? `${bytes.subarray(offset, offset + 4).join('.')}:${port}`
      : `[${ipv6(bytes.subarray(offset, offset + 16))}]:${port}`;
  return {
    local: endpoint(16, u16(12)),
    peer: endpoint(32, u16(14)),
    state: states[view.getUint8(1)] ?? String(view.getUint8(1)),
    version: versions[u16(4)] ?? null,
    cipher: cipher === 0 ? null : (ciphers.get(cipher) ?? String(cipher)),
    tx: modes[view.getUint8(2)] ?? 'none',
    rx: modes[view.getUint8(3)] ?? 'none',
    zeroCopy: view.getUint8(8) === 1,
    noPad: view.getUint8(9) === 1,
    maxPayload: u16(10) || null,
    uid: u32(48),
    inode: u32(52),
    receiveQueue: u32(56),
    sendQueue: u32(60),
  };
}

/** RFC 5952, v4-mapped addresses included. */
function ipv6(bytes: Uint8Array): string {
  if (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255) {
    return `::ffff:${bytes.subarray(12).join('.')}`;
  }
  const groups = Array.from({ length: 8 }, (_, each) =>
    ((bytes[2 * each]! << 8) | bytes[2 * each + 1]!).toString(16),
  );
  // URLs have their IPv6 addresses in the form of RFC 5952.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

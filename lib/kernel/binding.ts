/**
 * The native addon: its types, and the only place that loads it. Everything that crosses is an fd, a
 * number, a flag or one `Uint8Array`; results are `>= 0`, failures are a negated `errno`.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.js';

/** `TLS_TX` and `TLS_RX` of `<linux/tls.h>`. */
export const Direction = { TX: 1, RX: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** Bits of the mask given to a channel's `onReady`: `EPOLLIN`, `EPOLLOUT`, `EPOLLERR`, `EPOLLHUP`, `EPOLLRDHUP`. */
export const Ready = {
  READ: 0x1,
  WRITE: 0x4,
  ERROR: 0x8,
  HANGUP: 0x10,
  PEER_HALF_CLOSED: 0x2000,
} as const;

/**
 * One connected TCP socket as the addon sees it. It borrows the fd (libuv owns and closes it), is
 * registered edge-triggered in the environment's epoll set, and answers `-EBADF` once closed, so that
 * a reused fd number can never be touched through it.
 */
export interface Channel {
  /** Lets the event loop live as long as this channel waits, or not. A new channel is not referenced. */
  ref(): void;
  unref(): void;
  /** Leaves the epoll set. Must be called before the fd is closed. Idempotent. */
  close(): void;

  // While the socket is plain TCP (before keys are installed).
  /**
   * Exactly one TLS record, header included, and not a byte more from the receive queue; `0` at the end
   * of the stream; `-EAGAIN` until a whole record is there (what has come of it is kept). Bytes that
   * cannot be a TLS record are returned as they come: OpenSSL names the error.
   */
  readRecord(): Uint8Array | number;
  /** `send(2)`, non-blocking: the number of bytes taken. */
  write(data: Uint8Array, offset: number): number;
  /** `setsockopt(TCP_ULP, "tls")`. */
  attachUlp(): number;
  /**
   * `setsockopt(SOL_TLS, TLS_TX | TLS_RX)`. `material` is `key ‖ salt ‖ iv ‖ rec_seq`, each as long as
   * the kernel's structure for `cipher` has it; it is wiped before this returns, whatever the result.
   */
  installKeys(direction: Direction, version: number, cipher: number, material: Uint8Array): number;

  // Under kernel TLS.
  /**
   * `recvmsg(2)`: `recordType * 2**24 + length`, see `receivedType` and `receivedLength`. There must be
   * room for at least one byte.
   */
  receive(target: Uint8Array, offset: number): number;
  /**
   * Reads in libuv's stead for whoever reads the libuv stream that has the fd: data goes to that consumer
   * in native code as from a plain connection, and is not told by `onReady` any more. The stream must be
   * reading (`readStart`) during this call, and never again.
   *
   * @param onOther - Gets what is no data: what `receive` would have returned, a copy of a control record's
   * payload, and the number of bytes of data that the consumer got since the last call. Returns whether data
   * is forbidden from now on: it then comes here, and not to the consumer.
   * @param toTheEnd - Whether to read on behind data until `-EAGAIN`, for kernels that say nothing of a
   * KeyUpdate behind it (from 6.14 on).
   * @returns `0`, or `-ENOENT` if there is no such stream.
   */
  feedStream(
    onOther: (result: number, payload: Buffer, delivered: number) => boolean,
    toTheEnd: 0 | 1,
  ): number;
  /** The consumer wants data; none is given within the call, as with libuv. */
  startReading(): void;
  /** It wants no more for now. */
  stopReading(): void;
  /**
   * Whether `onReady` tells of room to write: at first it does. Turned on it tells at once if there is
   * room already.
   */
  watchWritable(on: 0 | 1): number;
  /** One control record: `sendmsg(2)` with `TLS_SET_RECORD_TYPE`. */
  sendRecord(type: number, payload: Uint8Array): number;
  /**
   * `TLS_TX_MAX_PAYLOAD_LEN` (Linux 6.19): the most plaintext bytes of a record. `-ENOPROTOOPT` from a
   * kernel that does not know it.
   */
  setMaxPayload(length: number): number;
  /** The sequence number of the next record to be sent, from `getsockopt(TLS_TX)`. */
  sendSequence(version: number, cipher: number): bigint | number;
  /** Installs for `TLS_RX` the key and sequence number that it has: the kernel waits for a key no longer. */
  keepReceiveKey(version: number, cipher: number): number;

  /** `TLS_TX_ZEROCOPY_RO`, off or on. `-ENOPROTOOPT` where the kernel has it not (before 5.19). */
  setZeroCopy(on: 0 | 1): number;
  /** `TLS_RX_EXPECT_NO_PAD` on. `-ENOPROTOOPT` where the kernel has it not (before 6.0). */
  expectNoPadding(): number;

  /**
   * Bytes handed to TCP since the connection began, acknowledged or not (`TCP_INFO`, `SIOCOUTQ`). Compare
   * two answers rather than trust one: whoever connected has its SYN counted, and a FIN counts too.
   */
  bytesInTcp(): number;
  /** `TCP_ESTABLISHED` (1) and so on, as `<netinet/tcp.h>` counts them: 7, `TCP_CLOSE`, behind a reset. */
  tcpState(): number;
  /** Reads and clears `SO_ERROR`: `0`, or the negated errno that it held. */
  takeError(): number;
  /**
   * What `sock_diag` says of this socket: `txConf + 16 * rxConf` (1 base: no keys, 2 software, 3 device);
   * 0 without the ULP. `-EPERM` where the kernel wants `CAP_NET_ADMIN` for it (before 6.15).
   */
  tlsMode(): number;
}

/**
 * One file on its way to one socket, by `sendfile(2)` in libuv's thread pool. It works on duplicates of
 * both fds, so either may be closed at any time; what is sent is still the file, and to that connection.
 */
export interface FileSender {
  /**
   * Sends up to `length` bytes from `position` on; `onSent` tells how many. One at a time.
   *
   * @returns `0`, or a negated errno: `-EBADF` once closed, `-EALREADY`.
   */
  send(position: number, length: number): number;
  /** `onSent` is not called any more. The fds close at once, or behind a chunk that is under way. Idempotent. */
  close(): void;
}

/**
 * @param fd - Or a negated errno.
 * @param mode - `st_mode`.
 * @param local - A regular file whose cached pages are had without asking anybody: not over a network, not
 * in user space.
 */
export type OnFile = (fd: number, mode: number, size: number, local: boolean) => void;

/** Arguments that do not fit throw a `TypeError` with the code `ERR_KTLS_NATIVE_ARGUMENT`. */
export interface NativeBinding {
  /** Throws an `Error` with `code`, `errno` and `syscall` if the fd cannot be watched. */
  Channel: new (fd: number, onReady: (events: number) => void) => Channel;
  /**
   * The fds are those of a non-blocking stream socket and a regular file. `status` is `0`, or the negated
   * errno that stopped it behind `bytes` bytes: `-EAGAIN` until the socket is writable, `-ENODATA` at the
   * end of the file. Throws an `Error` with `code`, `errno` and `syscall` if an fd is not open.
   */
  FileSender: new (
    socket: number,
    file: number,
    onSent: (bytes: number, status: number) => void,
  ) => FileSender;
  /**
   * `open(2)` for reading, without waiting for a FIFO's writer, and `fstat(2)`, in one turn of libuv's thread
   * pool. `onDone` gets the descriptor, which is the caller's from then on, or a negated errno. `path` holds
   * no NUL.
   *
   * @returns `0`, or a negated errno: then `onDone` is not called.
   */
  openFile(path: Uint8Array, onDone: OnFile): number;
  /** The same for a descriptor that is open, and stays so until then. */
  describeFile(fd: number, onDone: OnFile): number;
  /**
   * Whether these bytes of a file are in the page cache, now: `cachestat(2)`, which counts what is still on its
   * way from the disk too, and `preadv2(RWF_NOWAIT)`. `false` where the kernel does not say.
   */
  isCached(fd: number, position: number, length: number): boolean;
  /**
   * `sendfile(2)` at once, on this thread: the number of bytes sent, or the negated errno that stopped it
   * before the first one, as `FileSender` has it. It waits for the file, and for the cipher.
   */
  sendFileNow(socket: number, file: number, position: number, length: number): number;
  /** `fcntl(F_DUPFD_CLOEXEC)`: the new descriptor, which is the caller's to close, or a negated errno. */
  duplicate(fd: number): number;
  /**
   * Closes what `duplicate` and `openFile` gave, and nothing else; a worker thread that ends closes the rest.
   * `fs.close` warns there of what it has not opened.
   */
  close(fd: number): void;
  /**
   * On a fresh loopback TCP pair: attaches the ULP, then sets zero keys for one version and cipher in
   * both directions, sends one record, and asks how many were sent. `[pair, ulp, tx, rx, count]`, each `0` or
   * a negated errno (`-ECANCELED`: not reached). Blocks; as root it makes the kernel look for absent modules.
   */
  probe(version: number, cipher: number): [number, number, number, number, number];
  /**
   * What the kernel can beyond keys, on a loopback pair under TLS 1.3: `[ready, zeroCopy, noPad,
   * maxPayload]`, each `0` or a negated errno (`-ECANCELED`: not reached; `-EBADMSG`: the kernel has the
   * option, but padded records go wrong with it). Blocks like `probe`.
   */
  probeFeatures(): [number, number, number, number];
  /**
   * On another such pair, for a cipher that works: sends a KeyUpdate, sets new keys in both directions, and
   * sends one record more. `0`, or the negated errno of what failed (`-EBUSY`: keys cannot change).
   */
  probeRekey(version: number, cipher: number): number;
  /**
   * `SIOCETHTOOL`, the reading commands only: the structure in `request` is answered in its place. `0`,
   * or a negated errno (`-EFAULT`: the answer has outgrown the request).
   */
  ethtool(interfaceIndex: number, request: Uint8Array): number;
  /**
   * The kTLS sockets of this network namespace, one `TlsSocketRecord` of sock_diag_dump.h after another,
   * or a negated errno. Before Linux 6.15 empty for those without `CAP_NET_ADMIN`. Blocks.
   */
  tlsSockets(): Uint8Array | number;
}

/** The record type of what `Channel.receive` returned; `0` if the kernel named none (end of stream). */
export const receivedType = (result: number): number => Math.trunc(result / 0x1000000);
export const receivedLength = (result: number): number => result % 0x1000000;

let loaded: NativeBinding | Error | undefined;

/** The addon, or the error that says why this host has none (not Linux, not built). */
export function loadBinding(): NativeBinding | Error {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url);
    try {
      const load = require('node-gyp-build') as (root: string) => NativeBinding;
      loaded = load(fileURLToPath(packageRoot));
    } catch (error) {
      loaded = error instanceof Error ? error : new Error(String(error));
    }
  }
  return loaded;
}

/**
 * What a prebuilt addon may ask of the host it is loaded on, so that one binary serves every Linux that
 * Node's own binaries do, with glibc and with musl. `objdump` tells what it does ask.
 */
import { execFileSync } from 'node:child_process';

/** The oldest glibc that Node's own binaries run on (BUILDING.md of Node 20 to 26). */
const glibcFloor: readonly [number, number] = [2, 28];

/**
 * Functions that glibc and musl have with the same ABI on 64-bit little-endian machines: their structures
 * are the kernel's, or those of POSIX where the libcs differ only in padding that both clear (msghdr,
 * cmsghdr). Compare both libcs' headers before adding one.
 */
const commonToLibcs = new Set(
  `__cxa_finalize __errno_location abort accept4 bind close connect epoll_create1 epoll_ctl epoll_wait
  explicit_bzero fcntl free fstatfs getpeername getsockname getsockopt in6addr_loopback ioctl listen malloc
  memchr memcmp memcpy memmove memset mmap mprotect munmap open poll recv recvmsg send sendfile sendmsg
  sendto setsockopt socket strlen strnlen syscall sysconf`.split(/\s+/),
);

/** What Node looks for. Anything else that is exported could be taken for another library's. */
const exported = new Set(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);

/** Resolved by Node itself. */
const ofNode = /^(napi|uv)_/;

/** What stands against shipping it; nothing if it is good. */
export interface Portability {
  readonly problems: string[];
  /** The youngest glibc version that a symbol of it has. */
  readonly glibc: string;
}

const ordinal = (version: readonly number[]): number => version[0]! * 1000 + version[1]!;

/** @param objdump one that knows the file's processor */
export function examinePortability(file: string, objdump: string): Portability {
  const text = execFileSync(objdump, ['-p', '-T', file], { encoding: 'utf8' });
  const problems: string[] = [];
  const needed = [...text.matchAll(/^\s+NEEDED\s+(\S+)/gm)].map((match) => match[1]!);
  for (const library of needed) {
    // musl's loader takes every libc.* for itself (ldso/dynlink.c, load_library).
    if (library !== 'libc.so.6') problems.push(`needs the library ${library}`);
  }
  let glibc: readonly number[] = [2, 0];
  const undefinedSymbols = [
    ...text.matchAll(/^\S+ (.{7}) \*UND\*\s+\S+ +(?:\((\S+)\))? *(\S+)$/gm),
  ];
  if (undefinedSymbols.length === 0) problems.push(`${objdump} shows no symbol of it`);
  for (const [, flags = '', version, name = ''] of undefinedSymbols) {
    const weak = flags.includes('w');
    const match = /^GLIBC_(\d+)\.(\d+)/.exec(version ?? '');
    if (match !== null) {
      const asked = [Number(match[1]), Number(match[2])];
      if (ordinal(asked) > ordinal(glibc)) glibc = asked;
      if (ordinal(asked) > ordinal(glibcFloor)) problems.push(`needs ${name} of ${version!}`);
    }
    if (weak || ofNode.test(name) || commonToLibcs.has(name)) continue;
    problems.push(`needs ${name}, which is not known to be the same in every libc`);
  }
  for (const [, section, name = ''] of text.matchAll(
    /^[0-9a-f]{16} [guw!].{6} (\S+)\s+\S+ +(\S+)$/gm,
  )) {
    if (section !== '*UND*' && !exported.has(name)) problems.push(`exports ${name}`);
  }
  return { problems, glibc: glibc.join('.') };
}

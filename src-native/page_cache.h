// Whether a file's bytes can be had without waiting for a disk. Free of N-API.
#ifndef KTLS_SRC_NATIVE_PAGE_CACHE_H_
#define KTLS_SRC_NATIVE_PAGE_CACHE_H_

#include <cstdint>

namespace ktls {

// Whether the file system is one of those that serve cached pages by themselves. One over a network
// or in user space may ask somebody first whether they are still valid: who that is may be anybody,
// this process too. Asking which it is may take as long.
bool IsLocal(int file);

// Whether all pages of a range are in the page cache, now, and have been read. On file systems that
// have no reads without waiting (overlayfs, SquashFS) one that is just being read counts as well.
// False where the kernel does not say.
bool IsCached(int file, int64_t position, int64_t length);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_PAGE_CACHE_H_

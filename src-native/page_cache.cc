#include "page_cache.h"

#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "ktls_uapi.h"
#include "retry.h"

namespace ktls {
namespace {

// Linux 6.5. 0 or a negated errno: -EPERM (since 6.14) for those who neither own the file nor may
// write it, -EOPNOTSUPP of hugetlbfs.
int CachedPages(int file, int64_t position, int64_t length, uint64_t* pages) {
  uapi::CacheStatRange range = {static_cast<uint64_t>(position), static_cast<uint64_t>(length)};
  uapi::CacheStat stat = {};
  const auto result =
      Retry([&] { return syscall(uapi::kSysCacheStat, file, &range, &stat, /*flags=*/0U); });
  *pages = stat.nr_cache;
  return static_cast<int>(result);
}

// By a read that does not wait, into a few kilobytes that are overwritten again and again: it costs
// a copy, and works for everybody. 1: all of it; 0: not all; or a negated errno: -EOPNOTSUPP of
// tmpfs, overlayfs and a few others.
int Readable(int file, int64_t position, int64_t length) {
  std::array<std::byte, 16384> scratch{};
  std::array<iovec, 16> pieces{};
  pieces.fill({scratch.data(), scratch.size()});
  constexpr auto kMost = static_cast<int64_t>(scratch.size() * pieces.size());
  while (length > 0) {
    const int64_t wanted = std::min(length, kMost);
    const auto size = static_cast<int64_t>(scratch.size());
    const auto whole = static_cast<size_t>(wanted / size);
    const auto rest = static_cast<size_t>(wanted % size);
    if (rest > 0) pieces[whole].iov_len = rest;
    const auto result = Retry([&] {
      return syscall(SYS_preadv2, file, pieces.data(), whole + (rest > 0 ? 1 : 0),
                     static_cast<unsigned long>(position),
                     static_cast<unsigned long>(static_cast<uint64_t>(position) >> 32),
                     uapi::kRwfNoWait);
    });
    if (rest > 0) pieces[whole].iov_len = scratch.size();
    if (result < 0 && result != -EAGAIN) return static_cast<int>(result);
    // A short read is one that would have had to wait, or the end of the file.
    if (result != wanted) return 0;
    position += wanted;
    length -= wanted;
  }
  return 1;
}

}  // namespace

bool IsLocal(int file) {
  struct statfs found = {};
  if (Retry([&] { return fstatfs(file, &found); }) < 0) return false;
  const auto type = static_cast<uint32_t>(found.f_type);
  const auto& local = uapi::kLocalFileSystems;
  return std::find(local.begin(), local.end(), type) != local.end();
}

bool IsCached(int file, int64_t position, int64_t length) {
  uint64_t pages = 0;
  const bool counted = CachedPages(file, position, length, &pages) == 0;
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t spanned = (position + length - 1) / page - position / page + 1;
  if (counted && pages < static_cast<uint64_t>(spanned)) return false;
  // A page that is counted may still be on its way from the disk.
  const int readable = Readable(file, position, length);
  return readable == -EOPNOTSUPP ? counted : readable == 1;
}

}  // namespace ktls

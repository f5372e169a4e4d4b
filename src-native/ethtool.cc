#include "ethtool.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ktls_uapi.h"
#include "retry.h"
#include "unique_fd.h"

namespace ktls {
namespace {

bool IsReadOnly(uint32_t command) {
  switch (command) {
    case uapi::kEthtoolGetDriverInfo:
    case uapi::kEthtoolGetStrings:
    case uapi::kEthtoolGetStatistics:
    case uapi::kEthtoolGetSetInfo:
    case uapi::kEthtoolGetFeatures:
    case uapi::kEthtoolGetChannels:
      return true;
    default:
      return false;
  }
}

// Memory that ends where nothing may be written. The kernel writes as many strings and statistics
// as the driver has by then, whatever room the request says it has (ethtool_get_strings(),
// ethtool_get_stats() in net/ethtool/ioctl.c): here it gets EFAULT instead of our heap.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t usable = (size + page - 1) / page * page;
    mapped_ = usable + page;
    void* const map =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return;
    map_ = static_cast<uint8_t*>(map);
    if (mprotect(map_ + usable, page, PROT_NONE) != 0) return;
    data_ = map_ + usable - size;
  }
  ~GuardedBuffer() {
    if (map_ != nullptr) munmap(map_, mapped_);
  }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  GuardedBuffer(GuardedBuffer&&) = delete;
  GuardedBuffer& operator=(GuardedBuffer&&) = delete;

  // nullptr: no memory.
  uint8_t* data() const { return data_; }

 private:
  uint8_t* map_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t mapped_ = 0;
};

}  // namespace

int Ethtool(uint32_t interface_index, uint8_t* request, size_t size) {
  uint32_t command = 0;
  if (size < sizeof(command)) return -EINVAL;
  std::memcpy(&command, request, sizeof(command));
  if (!IsReadOnly(command)) return -EPERM;
  const int fd = Retry([] { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
  if (fd < 0) return fd;
  const UniqueFd owner(fd);
  ifreq wanted = {};
  wanted.ifr_ifindex = static_cast<int>(interface_index);
  const int named = Retry([&] { return ioctl(fd, SIOCGIFNAME, &wanted); });
  if (named < 0) return named;
  const GuardedBuffer buffer(size);
  if (buffer.data() == nullptr) return -ENOMEM;
  std::memcpy(buffer.data(), request, size);
  wanted.ifr_data = reinterpret_cast<char*>(buffer.data());
  const int result = Retry([&] { return ioctl(fd, uapi::kSiocEthtool, &wanted); });
  if (result < 0) return result;
  std::memcpy(request, buffer.data(), size);
  return 0;
}

}  // namespace ktls

// The owner of a file descriptor. -1 is "no descriptor"; 0 is a valid one.
#ifndef KTLS_SRC_NATIVE_UNIQUE_FD_H_
#define KTLS_SRC_NATIVE_UNIQUE_FD_H_

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "retry.h"

namespace ktls {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Leaves it to the caller.
  int Release() { return std::exchange(fd_, -1); }

  // close() is not retried on EINTR: Linux has released the number by then (close(2)).
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// A new number for the same open file, or a negated errno.
inline int Duplicate(int fd) {
  return Retry([=] { return fcntl(fd, F_DUPFD_CLOEXEC, 0); });
}

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_UNIQUE_FD_H_

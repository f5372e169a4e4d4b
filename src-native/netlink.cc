#include "netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "ktls_uapi.h"
#include "retry.h"

namespace ktls {
namespace {

// The answer comes within the send() of the question; the deadline only rules out a hang.
constexpr timeval kTimeout = {/*tv_sec=*/0, /*tv_usec=*/100000};

}  // namespace

bool Attributes::Find(uint16_t type, Attributes* result) const {
  const uint8_t* at = data_;
  size_t left = size_;
  uapi::AttributeHeader header = {};
  while (left >= sizeof(header)) {
    std::memcpy(&header, at, sizeof(header));
    const size_t length = header.length;
    if (length < sizeof(header) || length > left) return false;
    if ((header.type & uapi::kAttributeTypeMask) == type) {
      *result = {at + sizeof(header), length - sizeof(header)};
      return true;
    }
    const size_t step = (length + uapi::kNetlinkAlign - 1) & ~(uapi::kNetlinkAlign - 1);
    if (step >= left) return false;
    at += step;
    left -= step;
  }
  return false;
}

bool Attributes::Has(uint16_t type) const {
  Attributes ignored;
  return Find(type, &ignored);
}

uint16_t Attributes::Number(uint16_t type) const {
  Attributes value;
  uint16_t number = 0;
  if (Find(type, &value) && value.size_ == sizeof(number)) {
    std::memcpy(&number, value.data_, sizeof(number));
  }
  return number;
}

int AskSockDiag(const void* question, size_t size, UniqueFd* diag) {
  const int fd =
      Retry([] { return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, uapi::kNetlinkSockDiag); });
  if (fd < 0) return fd;
  diag->Reset(fd);
  const int set =
      Retry([=] { return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout)); });
  if (set < 0) return set;
  uapi::SockaddrNl kernel = {};
  kernel.family = AF_NETLINK;
  const ssize_t sent = Retry([&] {
    return sendto(fd, question, size, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&kernel),
                  sizeof(kernel));
  });
  return sent < 0 ? static_cast<int>(sent) : 0;
}

int NetlinkError(const uint8_t* answer, size_t size) {
  // struct nlmsgerr begins with the negated errno.
  int error = 0;
  if (size < sizeof(uapi::NetlinkHeader) + sizeof(error)) return -EBADMSG;
  std::memcpy(&error, answer + sizeof(uapi::NetlinkHeader), sizeof(error));
  return error < 0 ? error : -EBADMSG;
}

}  // namespace ktls

// The little of netlink that sock_diag needs: a socket to ask, and attributes to read.
#ifndef KTLS_SRC_NATIVE_NETLINK_H_
#define KTLS_SRC_NATIVE_NETLINK_H_

#include <cstddef>
#include <cstdint>

#include "unique_fd.h"

namespace ktls {

// Attributes one after another (struct nlattr), each checked against what is left.
class Attributes {
 public:
  Attributes() = default;
  Attributes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool Find(uint16_t type, Attributes* result) const;
  // A flag is an attribute without a value.
  bool Has(uint16_t type) const;
  // A u16, or 0.
  uint16_t Number(uint16_t type) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Opens a NETLINK_SOCK_DIAG socket with a deadline for answers and sends `question`. 0, or a
// negated errno.
int AskSockDiag(const void* question, size_t size, UniqueFd* diag);

// The negated errno in a message of type NLMSG_ERROR (`answer` has `size` bytes, header included).
int NetlinkError(const uint8_t* answer, size_t size);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_NETLINK_H_

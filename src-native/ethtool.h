// SIOCETHTOOL: what a network interface's driver says of itself. Reads only, and only what the
// kernel tells every user.
#ifndef KTLS_SRC_NATIVE_ETHTOOL_H_
#define KTLS_SRC_NATIVE_ETHTOOL_H_

#include <cstddef>
#include <cstdint>

namespace ktls {

// `request` is one of the structures of <linux/ethtool.h>, which begin with the command; the answer
// takes its place. Returns 0 or a negated errno: -ENODEV (no such interface), -EOPNOTSUPP (the
// driver does not tell), -EPERM (a command that is not one of the harmless ones), -EFAULT (the
// answer is longer than the request, which happens when a driver's tables grow between two
// questions).
int Ethtool(uint32_t interface_index, uint8_t* request, size_t size);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_ETHTOOL_H_

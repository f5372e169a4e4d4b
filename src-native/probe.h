// Asks the kernel what it can do, on sockets of its own.
#ifndef KTLS_SRC_NATIVE_PROBE_H_
#define KTLS_SRC_NATIVE_PROBE_H_

#include <cerrno>
#include <cstdint>

#include "crypto_info.h"

namespace ktls {

// Each 0, a negated errno, or -ECANCELED: not reached.
struct ProbeResult {
  int pair = -ECANCELED;
  int ulp = -ECANCELED;
  int tx = -ECANCELED;
  int rx = -ECANCELED;
};

// Blocks for a fraction of a millisecond, and for about a quarter of a second at worst.
ProbeResult Probe(uint16_t version, const CipherLayout& layout);

// 0, or the negated errno of the first step that failed.
int ProbeRekey(uint16_t version, const CipherLayout& layout);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_PROBE_H_

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
  // getsockopt(TLS_TX) tells the number of the next record (-ENODATA: another). Before Linux 5.16
  // it knows only AES-GCM.
  int count = -ECANCELED;
};

// Blocks for a fraction of a millisecond, and for about a quarter of a second at worst.
ProbeResult Probe(uint16_t version, const CipherLayout& layout);

// What the kernel can beyond keys, each 0, a negated errno, or -ECANCELED: not reached.
struct FeatureResult {
  int ready = -ECANCELED;        // TLS 1.3 with AES-128-GCM in both directions
  int zero_copy = -ECANCELED;    // TLS_TX_ZEROCOPY_RO
  int no_pad = -ECANCELED;       // TLS_RX_EXPECT_NO_PAD; -EBADMSG: padded records go wrong
  int max_payload = -ECANCELED;  // TLS_TX_MAX_PAYLOAD_LEN
};

// Blocks like Probe().
FeatureResult ProbeFeatures();

// 0, or the negated errno of the first step that failed.
int ProbeRekey(uint16_t version, const CipherLayout& layout);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_PROBE_H_

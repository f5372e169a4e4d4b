// A dump of NETLINK_SOCK_DIAG: many messages, with attributes nested in attributes. The kernel is
// trusted; a length that it has wrong, or that we take for another, must still not lead out of the
// answer. The source is included, since what parses is its alone.
#include <cstdint>
#include <vector>

#include "../sock_diag_dump.cc"
#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  using ktls::fuzz::Check;
  // A copy of exactly this size: the sanitizer sees a read beyond it.
  const std::vector<uint8_t> answer(input, input + size);
  std::vector<ktls::TlsSocketRecord> records;
  const int more = ktls::ReadMessages(answer.data(), answer.size(), &records);
  Check(more <= 1);
  Check(records.size() <= size / sizeof(ktls::uapi::InetDiagMsg));
  for (const ktls::TlsSocketRecord& record : records) {
    Check(record.family == 4 || record.family == 6);
    Check(record.zero_copy <= 1 && record.no_pad <= 1);
  }
  return 0;
}

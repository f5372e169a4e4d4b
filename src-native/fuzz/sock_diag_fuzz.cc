// The answer about one socket; otherwise as sock_diag_dump_fuzz.cc.
#include <cstdint>
#include <vector>

#include "../sock_diag.cc"
#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  const std::vector<uint8_t> answer(input, input + size);
  // No socket: whether it has TLS at all is then answered "no".
  const int mode = ktls::Parse(-1, answer.data(), answer.size());
  ktls::fuzz::Check(mode <= 17 * 0xffff);
  return 0;
}

// Key material to setsockopt()'s structure and back: every cipher, every number that is none. Each
// part must be where the kernel has it, and nothing may be read or written beyond.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "crypto_info.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  using ktls::fuzz::Check;
  if (size < 6) return 0;
  const auto version = static_cast<uint16_t>(input[0] << 8 | input[1]);
  // Mostly near the numbers that exist.
  const uint32_t cipher = input[2] < 128 ? 45U + input[3] % 20U
                                         : static_cast<uint32_t>(input[3]) << 24 |
                                               static_cast<uint32_t>(input[4]) << 8 | input[5];
  const ktls::CipherLayout* const layout = ktls::FindCipher(cipher);
  if (layout == nullptr) {
    Check(cipher < 51 || cipher > 58);
    return 0;
  }
  Check(layout->cipher == cipher);
  std::vector<uint8_t> material(input + 6, input + size);
  material.resize(layout->MaterialSize());
  const ktls::CryptoInfo info(version, *layout, material.data());
  Check(info.size() == layout->InfoSize() && info.size() <= ktls::uapi::kMaxCryptoInfoSize);

  const auto* const bytes = static_cast<const uint8_t*>(info.data());
  uint16_t head[2];
  std::memcpy(head, bytes, sizeof(head));
  Check(head[0] == version && head[1] == cipher);
  // key ‖ salt ‖ iv ‖ rec_seq in, iv ‖ key ‖ salt ‖ rec_seq out.
  const uint8_t* const key = material.data();
  const uint8_t* const salt = key + layout->key;
  const uint8_t* const iv = salt + layout->salt;
  const uint8_t* const sequence = iv + layout->iv;
  const uint8_t* out = bytes + sizeof(head);
  Check(std::memcmp(out, iv, layout->iv) == 0);
  out += layout->iv;
  Check(std::memcmp(out, key, layout->key) == 0);
  out += layout->key;
  Check(std::memcmp(out, salt, layout->salt) == 0);
  out += layout->salt;
  Check(std::memcmp(out, sequence, 8) == 0);
  Check(out + 8 == bytes + info.size());
  uint64_t number = 0;
  for (int i = 0; i < 8; i++) number = number << 8 | sequence[i];
  Check(info.RecordSequence() == number);
  return 0;
}

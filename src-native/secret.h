// Owners of key material: whatever way a function is left, nothing of a key stays in memory.
#ifndef KTLS_SRC_NATIVE_SECRET_H_
#define KTLS_SRC_NATIVE_SECRET_H_

#include <array>
#include <cstddef>
#include <cstdint>
// explicit_bzero (glibc 2.25, musl 1.1.20) is in the C header only.
#include <string.h>  // NOLINT(modernize-deprecated-headers)

namespace ktls {

// Bytes of our own that are wiped when they go out of scope.
template <size_t kSize>
class Secret {
 public:
  Secret() = default;
  ~Secret() { explicit_bzero(bytes_.data(), kSize); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&&) = delete;
  Secret& operator=(Secret&&) = delete;

  uint8_t* data() { return bytes_.data(); }
  const uint8_t* data() const { return bytes_.data(); }
  static constexpr size_t size() { return kSize; }

 private:
  std::array<uint8_t, kSize> bytes_{};
};

// Wipes somebody else's bytes, on every way out.
class WipeOnExit {
 public:
  WipeOnExit(uint8_t* data, size_t size) : data_(data), size_(size) {}
  ~WipeOnExit() {
    if (data_ != nullptr) explicit_bzero(data_, size_);
  }
  WipeOnExit(const WipeOnExit&) = delete;
  WipeOnExit& operator=(const WipeOnExit&) = delete;
  WipeOnExit(WipeOnExit&&) = delete;
  WipeOnExit& operator=(WipeOnExit&&) = delete;

 private:
  uint8_t* data_;
  size_t size_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_SECRET_H_

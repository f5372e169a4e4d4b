// Key material to the structure that setsockopt(SOL_TLS, TLS_TX | TLS_RX) takes.
#ifndef KTLS_SRC_NATIVE_CRYPTO_INFO_H_
#define KTLS_SRC_NATIVE_CRYPTO_INFO_H_

#include <cstddef>
#include <cstdint>

#include "ktls_uapi.h"
#include "secret.h"

namespace ktls {

struct CipherLayout {
  uint16_t cipher;
  size_t iv;
  size_t key;
  size_t salt;

  // key ‖ salt ‖ iv ‖ rec_seq
  size_t MaterialSize() const { return key + salt + iv + uapi::kRecSeqSize; }
  size_t InfoSize() const { return sizeof(uapi::TlsCryptoInfo) + MaterialSize(); }
  size_t RecSeqOffset() const { return InfoSize() - uapi::kRecSeqSize; }
};

// nullptr: not a cipher of the kernel's.
const CipherLayout* FindCipher(uint32_t cipher);

class CryptoInfo {
 public:
  // Only the version and the cipher: the question to getsockopt().
  CryptoInfo(uint16_t version, const CipherLayout& layout);
  // `material` has layout.MaterialSize() bytes.
  CryptoInfo(uint16_t version, const CipherLayout& layout, const uint8_t* material);

  void* data() { return bytes_.data(); }
  const void* data() const { return bytes_.data(); }
  size_t size() const { return layout_.InfoSize(); }
  uint64_t RecordSequence() const;

 private:
  CipherLayout layout_;
  Secret<uapi::kMaxCryptoInfoSize> bytes_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_CRYPTO_INFO_H_

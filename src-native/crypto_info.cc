#include "crypto_info.h"

#include <array>
#include <cstring>

namespace ktls {
namespace {

template <typename Info>
struct SaltSize;
template <size_t kIv, size_t kKey, size_t kSalt>
struct SaltSize<uapi::TlsCipherInfo<kIv, kKey, kSalt>> {
  static constexpr size_t kValue = kSalt;
};

template <typename Info>
constexpr CipherLayout LayoutOf(uint16_t cipher) {
  static_assert(sizeof(Info) <= uapi::kMaxCryptoInfoSize);
  static_assert(offsetof(Info, iv) == sizeof(uapi::TlsCryptoInfo));
  return {cipher, sizeof(Info::iv), sizeof(Info::key), SaltSize<Info>::kValue};
}

constexpr std::array<CipherLayout, 8> kCiphers = {{
    LayoutOf<uapi::TlsInfoAesGcm128>(uapi::kAesGcm128),
    LayoutOf<uapi::TlsInfoAesGcm256>(uapi::kAesGcm256),
    LayoutOf<uapi::TlsInfoAesCcm128>(uapi::kAesCcm128),
    LayoutOf<uapi::TlsInfoChaCha20Poly1305>(uapi::kChaCha20Poly1305),
    LayoutOf<uapi::TlsInfoSm4Gcm>(uapi::kSm4Gcm),
    LayoutOf<uapi::TlsInfoSm4Ccm>(uapi::kSm4Ccm),
    LayoutOf<uapi::TlsInfoAriaGcm128>(uapi::kAriaGcm128),
    LayoutOf<uapi::TlsInfoAriaGcm256>(uapi::kAriaGcm256),
}};

}  // namespace

const CipherLayout* FindCipher(uint32_t cipher) {
  for (const CipherLayout& layout : kCiphers) {
    if (layout.cipher == cipher) return &layout;
  }
  return nullptr;
}

CryptoInfo::CryptoInfo(uint16_t version, const CipherLayout& layout) : layout_(layout) {
  const uapi::TlsCryptoInfo info = {version, layout.cipher};
  std::memcpy(bytes_.data(), &info, sizeof(info));
}

CryptoInfo::CryptoInfo(uint16_t version, const CipherLayout& layout, const uint8_t* material)
    : CryptoInfo(version, layout) {
  const uint8_t* const key = material;
  const uint8_t* const salt = key + layout.key;
  const uint8_t* const iv = salt + layout.salt;
  const uint8_t* const rec_seq = iv + layout.iv;
  uint8_t* out = bytes_.data() + sizeof(uapi::TlsCryptoInfo);
  // The order of struct tls12_crypto_info_*.
  std::memcpy(out, iv, layout.iv);
  out += layout.iv;
  std::memcpy(out, key, layout.key);
  out += layout.key;
  std::memcpy(out, salt, layout.salt);
  out += layout.salt;
  std::memcpy(out, rec_seq, uapi::kRecSeqSize);
}

uint64_t CryptoInfo::RecordSequence() const {
  const uint8_t* const rec_seq = bytes_.data() + layout_.RecSeqOffset();
  uint64_t sequence = 0;
  for (size_t i = 0; i < uapi::kRecSeqSize; i++) sequence = (sequence << 8U) | rec_seq[i];
  return sequence;
}

}  // namespace ktls

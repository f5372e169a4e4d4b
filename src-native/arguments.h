// Raw arguments, checked. Whatever JavaScript passes, the answer is a TypeError with the code
// ERR_KTLS_NATIVE_ARGUMENT, never an assertion or a stray read. Every function here that returns
// false has thrown; the caller returns at once.
#ifndef KTLS_SRC_NATIVE_ARGUMENTS_H_
#define KTLS_SRC_NATIVE_ARGUMENTS_H_

#include <napi.h>

#include <cstddef>
#include <cstdint>

#include "crypto_info.h"

namespace ktls {

struct Bytes {
  uint8_t* data = nullptr;
  size_t size = 0;
};

struct CipherChoice {
  uint16_t version = 0;
  const CipherLayout* layout = nullptr;
};

void ThrowArgument(Napi::Env env, const char* message);

// An integer in [low, high].
bool GetInteger(const Napi::Value& value, const char* message, int64_t low, int64_t high,
                int64_t* result);

// Number.MAX_SAFE_INTEGER
inline constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

bool GetDescriptor(const Napi::Value& value, int* result);

// A Uint8Array (a Buffer is one) that is not detached.
bool GetBytes(const Napi::Value& value, Bytes* result);

// The bytes of the first argument from the offset that the second one gives.
bool GetBytesFrom(const Napi::CallbackInfo& info, Bytes* result);

// A TLS version and a cipher, both in the kernel's numbers.
bool GetCipher(const Napi::Value& version, const Napi::Value& cipher, CipherChoice* result);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_ARGUMENTS_H_

#include "arguments.h"

#include <cmath>
#include <limits>

#include "ktls_uapi.h"

namespace ktls {

void ThrowArgument(Napi::Env env, const char* message) {
  const Napi::Error error = Napi::TypeError::New(env, message);
  error.Value().Set("code", Napi::String::New(env, "ERR_KTLS_NATIVE_ARGUMENT"));
  error.ThrowAsJavaScriptException();
}

bool GetInteger(const Napi::Value& value, const char* message, int64_t low, int64_t high,
                int64_t* result) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  // Also false for NaN. The bounds are small enough to be exact as doubles.
  if (number >= static_cast<double>(low) && number <= static_cast<double>(high) &&
      number == std::trunc(number)) {
    *result = static_cast<int64_t>(number);
    return true;
  }
  ThrowArgument(value.Env(), message);
  return false;
}

bool GetDescriptor(const Napi::Value& value, int* result) {
  int64_t fd = -1;
  if (!GetInteger(value, "Expected a file descriptor", 0, std::numeric_limits<int>::max(), &fd)) {
    return false;
  }
  *result = static_cast<int>(fd);
  return true;
}

bool GetBytes(const Napi::Value& value, Bytes* result) {
  if (value.IsTypedArray()) {
    napi_typedarray_type type = napi_int8_array;
    void* data = nullptr;
    napi_value buffer = nullptr;
    bool detached = true;
    if (napi_get_typedarray_info(value.Env(), value, &type, &result->size, &data, &buffer,
                                 nullptr) == napi_ok &&
        type == napi_uint8_array &&
        napi_is_detached_arraybuffer(value.Env(), buffer, &detached) == napi_ok && !detached) {
      result->data = static_cast<uint8_t*>(data);
      return true;
    }
  }
  ThrowArgument(value.Env(), "Expected a Uint8Array that is not detached");
  return false;
}

bool GetBytesFrom(const Napi::CallbackInfo& info, Bytes* result) {
  int64_t offset = 0;
  if (!GetBytes(info[0], result) || !GetInteger(info[1], "Expected an offset within the array", 0,
                                                static_cast<int64_t>(result->size), &offset)) {
    return false;
  }
  result->data += offset;
  result->size -= static_cast<size_t>(offset);
  return true;
}

bool GetCipher(const Napi::Value& version, const Napi::Value& cipher, CipherChoice* result) {
  int64_t number = 0;
  if (!GetInteger(version, "Expected 0x303 or 0x304 as the version", uapi::kTls12, uapi::kTls13,
                  &number)) {
    return false;
  }
  result->version = static_cast<uint16_t>(number);
  constexpr const char* kCipherMessage = "Expected one of the kernel's cipher numbers";
  if (!GetInteger(cipher, kCipherMessage, 0, std::numeric_limits<uint16_t>::max(), &number)) {
    return false;
  }
  result->layout = FindCipher(static_cast<uint16_t>(number));
  if (result->layout == nullptr) ThrowArgument(cipher.Env(), kCipherMessage);
  return result->layout != nullptr;
}

}  // namespace ktls

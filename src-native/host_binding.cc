#include "host_binding.h"

#include <cstring>
#include <limits>
#include <vector>

#include "arguments.h"
#include "ethtool.h"
#include "probe.h"
#include "sock_diag_dump.h"

namespace ktls {

Napi::Value EthtoolFromJs(const Napi::CallbackInfo& info) {
  int64_t index = 0;
  Bytes request;
  if (!GetInteger(info[0], "Expected an interface's index", 1, std::numeric_limits<int32_t>::max(),
                  &index) ||
      !GetBytes(info[1], &request)) {
    return {};
  }
  return Napi::Number::New(info.Env(),
                           Ethtool(static_cast<uint32_t>(index), request.data, request.size));
}

Napi::Value TlsSocketsFromJs(const Napi::CallbackInfo& info) {
  std::vector<TlsSocketRecord> records;
  const int result = ListTlsSockets(&records);
  if (result < 0) return Napi::Number::New(info.Env(), result);
  const size_t size = records.size() * sizeof(TlsSocketRecord);
  Napi::Uint8Array bytes = Napi::Uint8Array::New(info.Env(), size);
  if (size > 0) std::memcpy(bytes.Data(), records.data(), size);
  return bytes;
}

Napi::Value ProbeFeaturesFromJs(const Napi::CallbackInfo& info) {
  const FeatureResult result = ProbeFeatures();
  const Napi::Array array = Napi::Array::New(info.Env());
  uint32_t index = 0;
  for (const int step : {result.ready, result.zero_copy, result.no_pad, result.max_payload}) {
    array.Set(index++, Napi::Number::New(info.Env(), step));
  }
  return array;
}

}  // namespace ktls

// What NativeBinding of lib/kernel/binding.ts asks of the host as a whole: ethtool, tlsSockets,
// probeFeatures.
#ifndef KTLS_SRC_NATIVE_HOST_BINDING_H_
#define KTLS_SRC_NATIVE_HOST_BINDING_H_

#include <napi.h>

namespace ktls {

Napi::Value EthtoolFromJs(const Napi::CallbackInfo& info);
Napi::Value TlsSocketsFromJs(const Napi::CallbackInfo& info);
Napi::Value ProbeFeaturesFromJs(const Napi::CallbackInfo& info);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_HOST_BINDING_H_

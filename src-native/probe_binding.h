// NativeBinding.probe and probeRekey of lib/kernel/binding.ts.
#ifndef KTLS_SRC_NATIVE_PROBE_BINDING_H_
#define KTLS_SRC_NATIVE_PROBE_BINDING_H_

#include <napi.h>

namespace ktls {

Napi::Value ProbeFromJs(const Napi::CallbackInfo& info);
Napi::Value ProbeRekeyFromJs(const Napi::CallbackInfo& info);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_PROBE_BINDING_H_

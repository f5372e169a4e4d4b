#include "probe_binding.h"

#include "arguments.h"
#include "probe.h"

namespace ktls {

Napi::Value ProbeFromJs(const Napi::CallbackInfo& info) {
  CipherChoice choice;
  if (!GetCipher(info[0], info[1], &choice)) return {};
  const ProbeResult result = Probe(choice.version, *choice.layout);
  const Napi::Array array = Napi::Array::New(info.Env());
  uint32_t index = 0;
  for (const int step : {result.pair, result.ulp, result.tx, result.rx, result.count}) {
    array.Set(index++, Napi::Number::New(info.Env(), step));
  }
  return array;
}

Napi::Value ProbeRekeyFromJs(const Napi::CallbackInfo& info) {
  CipherChoice choice;
  if (!GetCipher(info[0], info[1], &choice)) return {};
  return Napi::Number::New(info.Env(), ProbeRekey(choice.version, *choice.layout));
}

}  // namespace ktls

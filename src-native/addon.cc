// The export table; the types are in lib/kernel/binding.ts.
#include <napi.h>

#include "channel.h"
#include "environment.h"
#include "probe_binding.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ktls::Environment::Install(env);
  exports.Set("Channel", ktls::Channel::Define(env));
  exports.Set("probe", Napi::Function::New<ktls::ProbeFromJs>(env, "probe"));
  exports.Set("probeRekey", Napi::Function::New<ktls::ProbeRekeyFromJs>(env, "probeRekey"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

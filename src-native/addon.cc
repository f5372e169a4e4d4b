// The export table; the types are in lib/kernel/binding.ts.
#include <napi.h>

#include "channel.h"
#include "environment.h"
#include "file_opener.h"
#include "file_sender.h"
#include "host_binding.h"
#include "probe_binding.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ktls::Environment::Install(env);
  exports.Set("Channel", ktls::Channel::Define(env));
  exports.Set("FileSender", ktls::FileSender::Define(env));
  exports.Set("openFile", Napi::Function::New<ktls::OpenFileFromJs>(env, "openFile"));
  exports.Set("describeFile", Napi::Function::New<ktls::DescribeFileFromJs>(env, "describeFile"));
  exports.Set("isCached", Napi::Function::New<ktls::IsCachedFromJs>(env, "isCached"));
  exports.Set("sendFileNow", Napi::Function::New<ktls::SendFileNowFromJs>(env, "sendFileNow"));
  exports.Set("duplicate", Napi::Function::New<ktls::DuplicateFromJs>(env, "duplicate"));
  exports.Set("close", Napi::Function::New<ktls::CloseFromJs>(env, "close"));
  exports.Set("probe", Napi::Function::New<ktls::ProbeFromJs>(env, "probe"));
  exports.Set("probeFeatures",
              Napi::Function::New<ktls::ProbeFeaturesFromJs>(env, "probeFeatures"));
  exports.Set("ethtool", Napi::Function::New<ktls::EthtoolFromJs>(env, "ethtool"));
  exports.Set("tlsSockets", Napi::Function::New<ktls::TlsSocketsFromJs>(env, "tlsSockets"));
  exports.Set("probeRekey", Napi::Function::New<ktls::ProbeRekeyFromJs>(env, "probeRekey"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

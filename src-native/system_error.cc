#include "system_error.h"

#include <uv.h>

#include <string>

namespace ktls {

void ThrowSystem(Napi::Env env, const char* syscall, int error) {
  const Napi::Error thrown =
      Napi::Error::New(env, std::string(syscall) + ": " + uv_strerror(error));
  thrown.Value().Set("errno", Napi::Number::New(env, error));
  thrown.Value().Set("code", Napi::String::New(env, uv_err_name(error)));
  thrown.Value().Set("syscall", Napi::String::New(env, syscall));
  thrown.ThrowAsJavaScriptException();
}

}  // namespace ktls

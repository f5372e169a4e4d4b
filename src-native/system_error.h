// A failed system call as JavaScript's Error, with the properties that Node gives it.
#ifndef KTLS_SRC_NATIVE_SYSTEM_ERROR_H_
#define KTLS_SRC_NATIVE_SYSTEM_ERROR_H_

#include <napi.h>

namespace ktls {

// `error` is a negated errno.
void ThrowSystem(Napi::Env env, const char* syscall, int error);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_SYSTEM_ERROR_H_

// Files between JavaScript and the kernel: opened and described in one turn of the thread pool, and
// sent at once where nothing has to be waited for.
#ifndef KTLS_SRC_NATIVE_FILE_OPENER_H_
#define KTLS_SRC_NATIVE_FILE_OPENER_H_

#include <napi.h>

namespace ktls {

// `openFile`, `describeFile`, `isCached`, `sendFileNow`, `duplicate` and `close` of
// lib/kernel/binding.ts.
Napi::Value OpenFileFromJs(const Napi::CallbackInfo& info);
Napi::Value DescribeFileFromJs(const Napi::CallbackInfo& info);
Napi::Value IsCachedFromJs(const Napi::CallbackInfo& info);
Napi::Value SendFileNowFromJs(const Napi::CallbackInfo& info);
Napi::Value DuplicateFromJs(const Napi::CallbackInfo& info);
Napi::Value CloseFromJs(const Napi::CallbackInfo& info);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_FILE_OPENER_H_

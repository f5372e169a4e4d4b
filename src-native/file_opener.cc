#include "file_opener.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "arguments.h"
#include "environment.h"
#include "page_cache.h"
#include "retry.h"
#include "send_file.h"
#include "unique_fd.h"

namespace ktls {
namespace {

// What is to be found out, and where the answer goes.
struct Work {
  std::string path;  // of what is to be opened
  int fd = -1;       // what is open already; or what was opened
  UniqueFd opened;   // owns the latter until JavaScript does
  int status = -ECANCELED;
  uint32_t mode = 0;
  int64_t size = 0;
  bool local = false;
  Napi::FunctionReference callback;
  napi_async_work handle = nullptr;
};

// In a thread of the pool.
void Execute(napi_env /*env*/, void* data) {
  auto* const work = static_cast<Work*>(data);
  if (work->fd < 0) {
    // O_NONBLOCK: a FIFO without a writer must not hold a thread of the pool.
    const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    const int fd = Retry([&] { return open(work->path.c_str(), flags); });
    if (fd < 0) {
      work->status = fd;
      return;
    }
    work->opened.Reset(fd);
    work->fd = fd;
  }
  struct stat stat = {};
  work->status = Retry([&] { return fstat(work->fd, &stat); });
  if (work->status < 0) return;
  work->mode = stat.st_mode;
  work->size = stat.st_size;
  work->local = S_ISREG(stat.st_mode) && IsLocal(work->fd);
}

void Complete(napi_env env, napi_status /*status*/, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  napi_delete_async_work(env, work->handle);
  const Napi::HandleScope scope(env);
  napi_value self = nullptr;
  napi_value arguments[4] = {};
  if (napi_get_undefined(env, &self) != napi_ok ||
      napi_create_int32(env, work->status < 0 ? work->status : work->fd, &arguments[0]) !=
          napi_ok ||
      napi_create_uint32(env, work->mode, &arguments[1]) != napi_ok ||
      napi_create_int64(env, work->size, &arguments[2]) != napi_ok ||
      napi_get_boolean(env, work->local, &arguments[3]) != napi_ok) {
    return;
  }
  if (work->status >= 0 && work->opened.valid()) {
    Environment::Of(env).Lend(std::move(work->opened));
  }
  // An environment that is being torn down refuses the call, and closes what it has lent.
  napi_call_function(env, self, work->callback.Value(), 4, arguments, nullptr);
}

// 0, or a negated errno.
Napi::Value Queue(const Napi::CallbackInfo& info, std::unique_ptr<Work> work) {
  const Napi::Env env = info.Env();
  const auto answer = [env](int result) -> Napi::Value { return Napi::Number::New(env, result); };
  if (!info[1].IsFunction()) {
    ThrowArgument(env, "Expected a function");
    return {};
  }
  work->callback = Napi::Persistent(info[1].As<Napi::Function>());
  const Napi::String name = Napi::String::New(env, "ktls.openFile");
  if (napi_create_async_work(env, nullptr, name, Execute, Complete, work.get(), &work->handle) !=
      napi_ok) {
    return answer(-ECANCELED);
  }
  if (napi_queue_async_work(env, work->handle) != napi_ok) {
    napi_delete_async_work(env, work->handle);
    return answer(-ECANCELED);
  }
  // Complete() takes it.
  static_cast<void>(work.release());
  return answer(0);
}

bool GetRange(const Napi::Value& position_value, const Napi::Value& length_value, int64_t* position,
              int64_t* length) {
  return GetInteger(position_value, "Expected a position", 0, kMaxSafeInteger, position) &&
         GetInteger(length_value, "Expected a length", 1, kMaxSafeInteger, length);
}

}  // namespace

Napi::Value OpenFileFromJs(const Napi::CallbackInfo& info) {
  Bytes path;
  if (!GetBytes(info[0], &path)) return {};
  auto work = std::make_unique<Work>();
  work->path.assign(reinterpret_cast<const char*>(path.data), path.size);
  if (path.size == 0 || work->path.find('\0') != std::string::npos) {
    ThrowArgument(info.Env(), "Expected a path");
    return {};
  }
  return Queue(info, std::move(work));
}

Napi::Value DescribeFileFromJs(const Napi::CallbackInfo& info) {
  auto work = std::make_unique<Work>();
  if (!GetDescriptor(info[0], &work->fd)) return {};
  return Queue(info, std::move(work));
}

Napi::Value IsCachedFromJs(const Napi::CallbackInfo& info) {
  int file = -1;
  int64_t position = 0;
  int64_t length = 0;
  if (!GetDescriptor(info[0], &file) || !GetRange(info[1], info[2], &position, &length)) return {};
  return Napi::Boolean::New(info.Env(), IsCached(file, position, length));
}

Napi::Value SendFileNowFromJs(const Napi::CallbackInfo& info) {
  int socket = -1;
  int file = -1;
  int64_t position = 0;
  int64_t length = 0;
  if (!GetDescriptor(info[0], &socket) || !GetDescriptor(info[1], &file) ||
      !GetRange(info[2], info[3], &position, &length)) {
    return {};
  }
  const FileSent result = SendFile(socket, file, position, length);
  // What stopped it is said again by the next call.
  const int64_t answer = result.bytes > 0 ? result.bytes : result.status;
  return Napi::Number::New(info.Env(), static_cast<double>(answer));
}

Napi::Value DuplicateFromJs(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!GetDescriptor(info[0], &fd)) return {};
  const int duplicate = Duplicate(fd);
  if (duplicate >= 0) Environment::Of(info.Env()).Lend(UniqueFd(duplicate));
  return Napi::Number::New(info.Env(), duplicate);
}

Napi::Value CloseFromJs(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (GetDescriptor(info[0], &fd)) Environment::Of(info.Env()).Return(fd);
  return info.Env().Undefined();
}

}  // namespace ktls

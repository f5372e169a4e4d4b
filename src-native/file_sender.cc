#include "file_sender.h"

#include <cerrno>
#include <utility>

#include "arguments.h"
#include "system_error.h"

namespace ktls {

// Outlives its sender if the environment is torn down meanwhile.
struct FileSender::Work {
  std::shared_ptr<Descriptors> descriptors;
  int64_t position;
  int64_t length;
  FileSender* sender;
  napi_async_work handle = nullptr;
  FileSent result = {0, -ECANCELED};
};

Napi::Function FileSender::Define(Napi::Env env) {
  return DefineClass(env, "FileSender",
                     {
                         InstanceMethod<&FileSender::Send>("send"),
                         InstanceMethod<&FileSender::Close>("close"),
                     });
}

FileSender::FileSender(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FileSender>(info) {
  const Napi::Env env = info.Env();
  // In a worker that is being terminated not even wrapping works.
  if (IsEmpty()) return;
  if (!info[2].IsFunction()) {
    ThrowArgument(env, "Expected a function");
    return;
  }
  int socket = -1;
  int file = -1;
  if (!GetDescriptor(info[0], &socket) || !GetDescriptor(info[1], &file)) return;
  auto descriptors = std::make_shared<Descriptors>();
  for (auto [from, to] : {std::pair(socket, &descriptors->socket), {file, &descriptors->file}}) {
    const int duplicate = Duplicate(from);
    if (duplicate < 0) {
      ThrowSystem(env, "fcntl", duplicate);
      return;
    }
    to->Reset(duplicate);
  }
  descriptors_ = std::move(descriptors);
  on_sent_ = Napi::Persistent(info[2].As<Napi::Function>());
}

FileSender::~FileSender() {
  if (work_ != nullptr) work_->sender = nullptr;
}

Napi::Value FileSender::Send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int64_t position = 0;
  int64_t length = 0;
  if (!GetInteger(info[0], "Expected a position", 0, kMaxSafeInteger, &position) ||
      !GetInteger(info[1], "Expected a length", 1, kMaxSafeInteger, &length)) {
    return {};
  }
  const auto answer = [env](int result) -> Napi::Value { return Napi::Number::New(env, result); };
  if (descriptors_ == nullptr) return answer(-EBADF);
  if (work_ != nullptr) return answer(-EALREADY);
  auto work = std::make_unique<Work>(Work{descriptors_, position, length, this});
  const Napi::String name = Napi::String::New(env, "ktls.FileSender");
  if (napi_create_async_work(env, Value(), name, Execute, Complete, work.get(), &work->handle) !=
      napi_ok) {
    return answer(-ECANCELED);
  }
  if (napi_queue_async_work(env, work->handle) != napi_ok) {
    napi_delete_async_work(env, work->handle);
    return answer(-ECANCELED);
  }
  work_ = work.release();
  Ref();
  return answer(0);
}

Napi::Value FileSender::Close(const Napi::CallbackInfo& info) {
  // A chunk that is under way holds the descriptors until it is done.
  descriptors_.reset();
  // The garbage collector does not look through this reference, and what it holds holds this
  // object.
  on_sent_.Reset();
  return info.Env().Undefined();
}

// In a thread of the pool.
void FileSender::Execute(napi_env /*env*/, void* data) {
  auto* const work = static_cast<Work*>(data);
  work->result = SendFile(work->descriptors->socket.get(), work->descriptors->file.get(),
                          work->position, work->length);
}

void FileSender::Complete(napi_env env, napi_status /*status*/, void* data) {
  // At the end of this function the descriptors close, if close() was called meanwhile.
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  napi_delete_async_work(env, work->handle);
  if (work->sender != nullptr) work->sender->Completed(work->result);
}

void FileSender::Completed(const FileSent& result) {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  work_ = nullptr;
  const Napi::Object self = Value();
  const bool closed = descriptors_ == nullptr;
  Unref();
  if (closed) return;
  napi_value arguments[2] = {};
  if (napi_create_int64(env, result.bytes, &arguments[0]) != napi_ok ||
      napi_create_int32(env, result.status, &arguments[1]) != napi_ok) {
    return;
  }
  // What it throws Node takes up behind this callback; an environment that is being torn down
  // refuses the call.
  napi_call_function(env, self, on_sent_.Value(), 2, arguments, nullptr);
}

}  // namespace ktls

// The JavaScript class FileSender of lib/kernel/binding.ts: one file on its way to one socket.
#ifndef KTLS_SRC_NATIVE_FILE_SENDER_H_
#define KTLS_SRC_NATIVE_FILE_SENDER_H_

#include <napi.h>

#include <memory>

#include "send_file.h"
#include "unique_fd.h"

namespace ktls {

// Both descriptors are duplicates, and that is what makes a thread safe here: libuv closes the
// socket's own, and the application the file's, whenever they please. The number could then be
// another socket's or another file's by the time the thread uses it: somebody else's bytes. A
// duplicate keeps the open file, not the number. Holding off the handle's close instead would mean
// to have every way to close it under control, and shutdown(2) does not free a thread that waits
// for the disk. The price: a socket that is destroyed while a chunk is on its way is closed in the
// kernel when that chunk is done; since the socket never blocks, that is the time of one chunk.
class FileSender final : public Napi::ObjectWrap<FileSender> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit FileSender(const Napi::CallbackInfo& info);
  ~FileSender() override;
  FileSender(const FileSender&) = delete;
  FileSender& operator=(const FileSender&) = delete;
  FileSender(FileSender&&) = delete;
  FileSender& operator=(FileSender&&) = delete;

 private:
  struct Descriptors {
    UniqueFd socket;
    UniqueFd file;
  };
  struct Work;

  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  static void Execute(napi_env env, void* data);
  static void Complete(napi_env env, napi_status status, void* data);
  void Completed(const FileSent& result);

  std::shared_ptr<Descriptors> descriptors_;  // nullptr: closed
  Work* work_ = nullptr;                      // nullptr: none is under way
  Napi::FunctionReference on_sent_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_FILE_SENDER_H_

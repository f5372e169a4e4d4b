// The JavaScript class Channel of lib/kernel/binding.ts: one connected TCP socket, borrowed.
#ifndef KTLS_SRC_NATIVE_CHANNEL_H_
#define KTLS_SRC_NATIVE_CHANNEL_H_

#include <napi.h>

#include <cstdint>
#include <memory>

#include "epoll_set.h"
#include "record_reader.h"
#include "stream_reader.h"

namespace ktls {

// An open channel holds itself (like any active handle of Node's): readiness must not get lost
// because only a closure of its own callback knew it. close() lets go.
class Channel final : public Napi::ObjectWrap<Channel>, private EpollListener {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit Channel(const Napi::CallbackInfo& info);
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  Channel(Channel&&) = delete;
  Channel& operator=(Channel&&) = delete;

 private:
  Napi::Value KeepAlive(const Napi::CallbackInfo& info);
  Napi::Value LetGo(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value ReadRecord(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value AttachUlp(const Napi::CallbackInfo& info);
  Napi::Value InstallKeys(const Napi::CallbackInfo& info);
  Napi::Value Receive(const Napi::CallbackInfo& info);
  Napi::Value SendRecord(const Napi::CallbackInfo& info);
  Napi::Value SetMaxPayload(const Napi::CallbackInfo& info);
  Napi::Value SendSequence(const Napi::CallbackInfo& info);
  Napi::Value KeepReceiveKey(const Napi::CallbackInfo& info);
  Napi::Value SetZeroCopy(const Napi::CallbackInfo& info);
  Napi::Value ExpectNoPadding(const Napi::CallbackInfo& info);
  Napi::Value BytesInTcp(const Napi::CallbackInfo& info);
  Napi::Value TcpState(const Napi::CallbackInfo& info);
  Napi::Value TakeError(const Napi::CallbackInfo& info);
  Napi::Value TlsMode(const Napi::CallbackInfo& info);
  Napi::Value WatchWritable(const Napi::CallbackInfo& info);
  Napi::Value FeedStream(const Napi::CallbackInfo& info);
  Napi::Value StartReading(const Napi::CallbackInfo& info);
  Napi::Value StopReading(const Napi::CallbackInfo& info);

  bool OnReady(uint32_t events) override;
  bool OnDue() override;
  void OnDropped() override;

  bool closed() const { return epoll_ == nullptr; }
  void SetReferenced(bool referenced);
  void Release();
  // False: JavaScript cannot run any more. An exception becomes an 'uncaughtException'.
  bool Call(const Napi::FunctionReference& function, size_t count, const napi_value* arguments,
            napi_value* result);
  bool ReadStream();
  // In a turn of its own, for which nothing has to happen.
  void ReadStreamLater();
  bool TellOther(const Received& other, StreamReader& reader);

  int fd_ = -1;
  EpollSet* epoll_ = nullptr;  // nullptr: closed
  int64_t id_ = 0;
  bool referenced_ = false;
  RecordReader reader_;
  // Shared with ReadStream(), whose callbacks may close the channel.
  std::shared_ptr<StreamReader> stream_;
  bool reading_later_ = false;
  Napi::FunctionReference on_other_;
  Napi::FunctionReference on_ready_;
  // Shared with Call(), whose callback may close the channel.
  std::shared_ptr<Napi::AsyncContext> async_context_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_CHANNEL_H_

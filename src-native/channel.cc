#include "channel.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "arguments.h"
#include "environment.h"
#include "ktls_socket.h"
#include "ktls_uapi.h"
#include "secret.h"
#include "sock_diag.h"
#include "system_error.h"

namespace ktls {
namespace {

// Channel.receive() answers recordType * 2^24 + length.
constexpr size_t kLengthBits = 24;
constexpr size_t kMaxReceive = (size_t{1} << kLengthBits) - 1;

class SocketSource final : public ByteSource {
 public:
  explicit SocketSource(int fd) : fd_(fd) {}
  ssize_t Receive(uint8_t* target, size_t size) override { return ReceivePlain(fd_, target, size); }

 private:
  int fd_;
};

Napi::Value Result(const Napi::CallbackInfo& info, int64_t result) {
  return Napi::Number::New(info.Env(), static_cast<double>(result));
}

}  // namespace

Napi::Function Channel::Define(Napi::Env env) {
  return DefineClass(env, "Channel",
                     {
                         InstanceMethod<&Channel::KeepAlive>("ref"),
                         InstanceMethod<&Channel::LetGo>("unref"),
                         InstanceMethod<&Channel::Close>("close"),
                         InstanceMethod<&Channel::ReadRecord>("readRecord"),
                         InstanceMethod<&Channel::Write>("write"),
                         InstanceMethod<&Channel::AttachUlp>("attachUlp"),
                         InstanceMethod<&Channel::InstallKeys>("installKeys"),
                         InstanceMethod<&Channel::Receive>("receive"),
                         InstanceMethod<&Channel::SendRecord>("sendRecord"),
                         InstanceMethod<&Channel::SetMaxPayload>("setMaxPayload"),
                         InstanceMethod<&Channel::SendSequence>("sendSequence"),
                         InstanceMethod<&Channel::KeepReceiveKey>("keepReceiveKey"),
                         InstanceMethod<&Channel::SetZeroCopy>("setZeroCopy"),
                         InstanceMethod<&Channel::ExpectNoPadding>("expectNoPadding"),
                         InstanceMethod<&Channel::BytesInTcp>("bytesInTcp"),
                         InstanceMethod<&Channel::TcpState>("tcpState"),
                         InstanceMethod<&Channel::TakeError>("takeError"),
                         InstanceMethod<&Channel::TlsMode>("tlsMode"),
                         InstanceMethod<&Channel::WatchWritable>("watchWritable"),
                         InstanceMethod<&Channel::FeedStream>("feedStream"),
                         InstanceMethod<&Channel::StartReading>("startReading"),
                         InstanceMethod<&Channel::StopReading>("stopReading"),
                     });
}

Channel::Channel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Channel>(info) {
  const Napi::Env env = info.Env();
  // In a worker that is being terminated not even wrapping works.
  if (IsEmpty()) return;
  int64_t fd = -1;
  if (!GetInteger(info[0], "Expected a file descriptor", 0, std::numeric_limits<int>::max(), &fd)) {
    return;
  }
  if (!info[1].IsFunction()) {
    ThrowArgument(env, "Expected a function");
    return;
  }
  int error = 0;
  EpollSet* const epoll = Environment::Of(env).Epoll(env, &error);
  if (epoll == nullptr) {
    ThrowSystem(env, "epoll_create1", error);
    return;
  }
  const int64_t id = epoll->Add(static_cast<int>(fd), this);
  if (id < 0) {
    ThrowSystem(env, "epoll_ctl", static_cast<int>(id));
    return;
  }
  fd_ = static_cast<int>(fd);
  epoll_ = epoll;
  id_ = id;
  on_ready_ = Napi::Persistent(info[1].As<Napi::Function>());
  async_context_ = std::make_shared<Napi::AsyncContext>(env, "ktls.Channel", Value());
  Ref();
}

Channel::~Channel() { Release(); }

void Channel::SetReferenced(bool referenced) {
  if (closed() || referenced == referenced_) return;
  referenced_ = referenced;
  if (referenced) {
    epoll_->Ref();
  } else {
    epoll_->Unref();
  }
}

// Idempotent. Nothing of the fd is touched after it.
void Channel::Release() {
  if (closed()) return;
  SetReferenced(false);
  epoll_->Remove(id_);
  epoll_ = nullptr;
  fd_ = -1;
  reader_ = RecordReader();
  if (stream_ != nullptr) stream_->Close();
  stream_.reset();
  on_other_.Reset();
  async_context_.reset();
  on_ready_.Reset();
  Unref();
}

void Channel::OnDropped() { Release(); }

bool Channel::OnReady(uint32_t events) {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  // The callbacks may close the channel and so free what this call stands on.
  [[maybe_unused]] const Napi::Object self = Value();
  if (stream_ != nullptr) {
    if ((events & ~EPOLLOUT) != 0) {
      // Behind these nothing need follow that tells of what else there is.
      stream_->Ready((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
      // One turn of reading for each of the loop's.
      if (!reading_later_ && !ReadStream()) return false;
    }
    events &= EPOLLOUT | EPOLLHUP;
    if (events == 0 || closed()) return true;
  }
  napi_value argument = nullptr;
  if (napi_create_uint32(env, events, &argument) != napi_ok) return false;
  return Call(on_ready_, 1, &argument, nullptr);
}

bool Channel::OnDue() {
  reading_later_ = false;
  if (stream_ == nullptr) return true;
  const Napi::HandleScope scope(Env());
  // As in OnReady().
  [[maybe_unused]] const Napi::Object self = Value();
  return ReadStream();
}

bool Channel::Call(const Napi::FunctionReference& function, size_t count,
                   const napi_value* arguments, napi_value* result) {
  const Napi::Env env = Env();
  const std::shared_ptr<Napi::AsyncContext> context = async_context_;
  // Not Napi::FunctionReference::MakeCallback(): it would turn the refusal of an environment that
  // is being torn down into an exception, or an abort.
  if (napi_make_callback(env, *context, Value(), function.Value(), count, arguments, result) ==
      napi_ok) {
    return true;
  }
  bool thrown = false;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return false;
  napi_value exception = nullptr;
  // 'uncaughtException'; whoever handles it expects the other sockets to go on.
  return napi_get_and_clear_last_exception(env, &exception) == napi_ok &&
         napi_fatal_exception(env, exception) == napi_ok;
}

// There must be a scope for handles, and a hold on this object.
bool Channel::ReadStream() {
  const Napi::Env env = Env();
  const std::shared_ptr<StreamReader> reader = stream_;
  // An environment that is being torn down closes its streams without a word to JavaScript, and so
  // to us. It refuses this then.
  napi_value yes = nullptr;
  if (napi_coerce_to_bool(env, Napi::Boolean::New(env, true), &yes) != napi_ok) return false;
  int calls = 0;
  while (true) {
    switch (reader->Read(&calls)) {
      case StreamReader::Event::kNone:
        return true;
      case StreamReader::Event::kOther:
        if (!TellOther(reader->other(), *reader)) return false;
        break;
      case StreamReader::Event::kTurnOver:
        ReadStreamLater();
        return true;
    }
  }
}

void Channel::ReadStreamLater() {
  if (closed() || std::exchange(reading_later_, true)) return;
  epoll_->TellLater(id_);
}

bool Channel::TellOther(const Received& other, StreamReader& reader) {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  std::array<napi_value, 3> arguments{};
  const int64_t result =
      other.size < 0 ? other.size : int64_t{other.type} << kLengthBits | other.size;
  const auto length = static_cast<size_t>(std::max<ssize_t>(other.size, 0));
  napi_value forbids = nullptr;
  if (napi_create_int64(env, result, arguments.data()) != napi_ok ||
      napi_create_buffer_copy(env, length, reader.payload(), nullptr, &arguments[1]) != napi_ok ||
      napi_create_int64(env, static_cast<int64_t>(reader.TakeDelivered()), &arguments[2]) !=
          napi_ok ||
      !Call(on_other_, arguments.size(), arguments.data(), &forbids)) {
    return false;
  }
  // No result: it has thrown.
  bool forbidden = false;
  if (forbids != nullptr) napi_get_value_bool(env, forbids, &forbidden);
  reader.ForbidData(forbidden);
  return true;
}

Napi::Value Channel::KeepAlive(const Napi::CallbackInfo& info) {
  SetReferenced(true);
  return info.Env().Undefined();
}

Napi::Value Channel::LetGo(const Napi::CallbackInfo& info) {
  SetReferenced(false);
  return info.Env().Undefined();
}

Napi::Value Channel::Close(const Napi::CallbackInfo& info) {
  Release();
  return info.Env().Undefined();
}

Napi::Value Channel::ReadRecord(const Napi::CallbackInfo& info) {
  if (closed()) return Result(info, -EBADF);
  SocketSource source(fd_);
  const ssize_t size = reader_.Read(source);
  if (size <= 0) return Result(info, size);
  napi_value record = nullptr;
  napi_create_buffer_copy(info.Env(), static_cast<size_t>(size), reader_.data(), nullptr, &record);
  return {info.Env(), record};
}

Napi::Value Channel::Write(const Napi::CallbackInfo& info) {
  Bytes bytes;
  if (!GetBytesFrom(info, &bytes)) return {};
  if (closed()) return Result(info, -EBADF);
  if (bytes.size == 0) return Result(info, 0);
  return Result(info, SendPlain(fd_, bytes.data, bytes.size));
}

Napi::Value Channel::AttachUlp(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::AttachUlp(fd_));
}

Napi::Value Channel::InstallKeys(const Napi::CallbackInfo& info) {
  // First of all, so that no complaint about another argument leaves the keys where they are.
  Bytes material;
  if (!GetBytes(info[3], &material)) return {};
  const WipeOnExit wipe(material.data, material.size);
  int64_t direction = 0;
  CipherChoice choice;
  if (!GetInteger(info[0], "Expected TLS_TX or TLS_RX", uapi::kTlsTx, uapi::kTlsRx, &direction) ||
      !GetCipher(info[1], info[2], &choice)) {
    return {};
  }
  if (material.size != choice.layout->MaterialSize()) {
    ThrowArgument(info.Env(), "Expected key, salt, iv and rec_seq as long as the cipher has them");
    return {};
  }
  if (closed()) return Result(info, -EBADF);
  const CryptoInfo crypto_info(choice.version, *choice.layout, material.data);
  const int result = ktls::InstallKeys(fd_, static_cast<int>(direction), crypto_info);
  // No more plain records: what they took goes.
  if (result == 0 && direction == uapi::kTlsRx) reader_ = RecordReader();
  return Result(info, result);
}

Napi::Value Channel::Receive(const Napi::CallbackInfo& info) {
  Bytes target;
  if (!GetBytesFrom(info, &target)) return {};
  if (target.size == 0) {
    // recvmsg() would say 0, and 0 means the end of the stream.
    ThrowArgument(info.Env(), "Expected room for at least one byte");
    return {};
  }
  if (closed()) return Result(info, -EBADF);
  const Received got = ReceiveRecord(fd_, target.data, std::min(target.size, kMaxReceive));
  if (got.size < 0) return Result(info, got.size);
  return Result(info, int64_t{got.type} << kLengthBits | got.size);
}

Napi::Value Channel::SendRecord(const Napi::CallbackInfo& info) {
  int64_t type = 0;
  Bytes payload;
  if (!GetInteger(info[0], "Expected a record type", 0, std::numeric_limits<uint8_t>::max(),
                  &type) ||
      !GetBytes(info[1], &payload)) {
    return {};
  }
  if (closed()) return Result(info, -EBADF);
  return Result(info,
                ktls::SendRecord(fd_, static_cast<uint8_t>(type), payload.data, payload.size));
}

Napi::Value Channel::SetMaxPayload(const Napi::CallbackInfo& info) {
  int64_t length = 0;
  if (!GetInteger(info[0], "Expected a number of bytes", 0, std::numeric_limits<uint16_t>::max(),
                  &length)) {
    return {};
  }
  if (closed()) return Result(info, -EBADF);
  return Result(info, ktls::SetMaxPayload(fd_, static_cast<uint16_t>(length)));
}

Napi::Value Channel::SendSequence(const Napi::CallbackInfo& info) {
  CipherChoice choice;
  if (!GetCipher(info[0], info[1], &choice)) return {};
  if (closed()) return Result(info, -EBADF);
  CryptoInfo crypto_info(choice.version, *choice.layout);
  const int result = ReadState(fd_, uapi::kTlsTx, &crypto_info);
  if (result < 0) return Result(info, result);
  return Napi::BigInt::New(info.Env(), crypto_info.RecordSequence());
}

Napi::Value Channel::KeepReceiveKey(const Napi::CallbackInfo& info) {
  CipherChoice choice;
  if (!GetCipher(info[0], info[1], &choice)) return {};
  if (closed()) return Result(info, -EBADF);
  CryptoInfo crypto_info(choice.version, *choice.layout);
  const int result = ReadState(fd_, uapi::kTlsRx, &crypto_info);
  if (result < 0) return Result(info, result);
  return Result(info, ktls::InstallKeys(fd_, uapi::kTlsRx, crypto_info));
}

Napi::Value Channel::SetZeroCopy(const Napi::CallbackInfo& info) {
  int64_t on = 0;
  if (!GetInteger(info[0], "Expected 0 or 1", 0, 1, &on)) return {};
  return Result(info, closed() ? -EBADF : ktls::SetZeroCopy(fd_, on != 0));
}

Napi::Value Channel::ExpectNoPadding(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::ExpectNoPadding(fd_));
}

Napi::Value Channel::BytesInTcp(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::BytesInTcp(fd_));
}

Napi::Value Channel::TcpState(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::TcpState(fd_));
}

Napi::Value Channel::TakeError(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::TakeError(fd_));
}

Napi::Value Channel::TlsMode(const Napi::CallbackInfo& info) {
  return Result(info, closed() ? -EBADF : ktls::TlsMode(fd_));
}

Napi::Value Channel::WatchWritable(const Napi::CallbackInfo& info) {
  int64_t on = 0;
  if (!GetInteger(info[0], "Expected 0 or 1", 0, 1, &on)) return {};
  return Result(info, closed() ? -EBADF : epoll_->WatchWritable(id_, on != 0));
}

Napi::Value Channel::FeedStream(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) {
    ThrowArgument(env, "Expected a function");
    return {};
  }
  int64_t to_the_end = 0;
  if (!GetInteger(info[1], "Expected 0 or 1", 0, 1, &to_the_end)) return {};
  if (closed()) return Result(info, -EBADF);
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Result(info, -ENOTSUP);
  stream_ = StreamReader::Of(loop, fd_, to_the_end != 0, Environment::Of(env).scratch());
  if (stream_ == nullptr) return Result(info, -ENOENT);
  on_other_ = Napi::Persistent(info[0].As<Napi::Function>());
  return Result(info, 0);
}

Napi::Value Channel::StartReading(const Napi::CallbackInfo& info) {
  if (stream_ != nullptr && stream_->Start()) ReadStreamLater();
  return info.Env().Undefined();
}

Napi::Value Channel::StopReading(const Napi::CallbackInfo& info) {
  if (stream_ != nullptr) stream_->Stop();
  return info.Env().Undefined();
}

}  // namespace ktls

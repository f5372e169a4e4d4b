#include "channel.h"

#include <algorithm>
#include <cerrno>
#include <limits>

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
                         InstanceMethod<&Channel::SetZeroCopy>("setZeroCopy"),
                         InstanceMethod<&Channel::BytesInTcp>("bytesInTcp"),
                         InstanceMethod<&Channel::TcpState>("tcpState"),
                         InstanceMethod<&Channel::TakeError>("takeError"),
                         InstanceMethod<&Channel::TlsMode>("tlsMode"),
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
  async_context_.reset();
  on_ready_.Reset();
  Unref();
}

void Channel::OnDropped() { Release(); }

bool Channel::OnReady(uint32_t events) {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  // The callback may close the channel and so free what this call stands on.
  const Napi::Object self = Value();
  const std::shared_ptr<Napi::AsyncContext> context = async_context_;
  napi_value argument = nullptr;
  if (napi_create_uint32(env, events, &argument) != napi_ok) return false;
  // Not Napi::FunctionReference::MakeCallback(): it would turn the refusal of an environment that
  // is being torn down into an exception, or an abort.
  if (napi_make_callback(env, *context, self, on_ready_.Value(), 1, &argument, nullptr) ==
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
  const int result = ReadSendState(fd_, &crypto_info);
  if (result < 0) return Result(info, result);
  return Napi::BigInt::New(info.Env(), crypto_info.RecordSequence());
}

Napi::Value Channel::SetZeroCopy(const Napi::CallbackInfo& info) {
  int64_t on = 0;
  if (!GetInteger(info[0], "Expected 0 or 1", 0, 1, &on)) return {};
  return Result(info, closed() ? -EBADF : ktls::SetZeroCopy(fd_, on != 0));
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

}  // namespace ktls

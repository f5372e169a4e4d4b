#include "ktls_socket.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "ktls_uapi.h"
#include "retry.h"

namespace ktls {
namespace {

// Room for the one-byte control message of SOL_TLS, aligned as CMSG_FIRSTHDR() needs it.
struct ControlBuffer {
  alignas(cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint8_t))] = {};
};

int64_t BytesAcked(int fd) {
  uapi::TcpInfoPrefix info = {};
  socklen_t size = sizeof(info);
  const int result =
      Retry([&] { return getsockopt(fd, IPPROTO_TCP, uapi::kTcpInfo, &info, &size); });
  if (result < 0) return result;
  if (size < sizeof(info)) return -ENOPROTOOPT;
  return static_cast<int64_t>(info.bytes_acked);
}

Received ReceiveOnce(int fd, uint8_t* target, size_t size) {
  ControlBuffer control;
  iovec part = {target, size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof(control.bytes);
  const ssize_t got = Retry([&] { return recvmsg(fd, &message, MSG_DONTWAIT); });
  if (got < 0) return {got, 0};
  // The type was cut off: what these bytes are nobody can say any more.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return {-EPROTO, 0};
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != uapi::kSolTls ||
      header->cmsg_type != uapi::kTlsGetRecordType) {
    return {got, 0};
  }
  return {got, *CMSG_DATA(header)};
}

}  // namespace

ssize_t ReceivePlain(int fd, uint8_t* target, size_t size) {
  return Retry([=] { return recv(fd, target, size, MSG_DONTWAIT); });
}

ssize_t SendPlain(int fd, const uint8_t* data, size_t size) {
  return Retry([=] { return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

int AttachUlp(int fd) {
  return Retry([=] {
    return setsockopt(fd, IPPROTO_TCP, uapi::kTcpUlp, uapi::kUlpName, sizeof(uapi::kUlpName) - 1);
  });
}

int InstallKeys(int fd, int direction, const CryptoInfo& info) {
  return Retry([&] {
    return setsockopt(fd, uapi::kSolTls, direction, info.data(),
                      static_cast<socklen_t>(info.size()));
  });
}

Received ReceiveRecord(int fd, uint8_t* target, size_t size) {
  Received got = ReceiveOnce(fd, target, size);
  // Not the end, which has no type: empty records of data, and behind them one of another type,
  // which ended the call (net/tls/tls_sw.c: tls_sw_recvmsg). The next call has that, or the end.
  while (got.size == 0 && got.type == uapi::kApplicationData) got = ReceiveOnce(fd, target, size);
  return got;
}

ssize_t SendRecord(int fd, uint8_t type, const uint8_t* payload, size_t size) {
  ControlBuffer control;
  // sendmsg() reads only, but iovec serves both directions.
  iovec part = {const_cast<uint8_t*>(payload), size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof(control.bytes);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = uapi::kSolTls;
  header->cmsg_type = uapi::kTlsSetRecordType;
  header->cmsg_len = CMSG_LEN(sizeof(type));
  *CMSG_DATA(header) = type;
  return Retry([&] { return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

int SetMaxPayload(int fd, uint16_t length) {
  return Retry([&] {
    return setsockopt(fd, uapi::kSolTls, uapi::kTlsTxMaxPayloadLen, &length, sizeof(length));
  });
}

int ReadState(int fd, int direction, CryptoInfo* info) {
  auto size = static_cast<socklen_t>(info->size());
  return Retry([&] { return getsockopt(fd, uapi::kSolTls, direction, info->data(), &size); });
}

int SetZeroCopy(int fd, bool on) {
  const uint32_t value = on ? 1 : 0;
  return Retry(
      [&] { return setsockopt(fd, uapi::kSolTls, uapi::kTlsTxZeroCopyRo, &value, sizeof(value)); });
}

int ExpectNoPadding(int fd) {
  const uint32_t value = 1;
  return Retry([&] {
    return setsockopt(fd, uapi::kSolTls, uapi::kTlsRxExpectNoPad, &value, sizeof(value));
  });
}

int64_t BytesInTcp(int fd) {
  // An acknowledgement between the two questions moves bytes from the second answer to the first
  // and would have them counted twice or not at all. Under a steady stream of acknowledgements the
  // last answer is given; it is then at most one round's bytes too low, never too high, and
  // the next call will tell.
  constexpr int kTries = 8;
  int64_t acked = BytesAcked(fd);
  for (int i = 0;; i++) {
    if (acked < 0) return acked;
    int queued = 0;
    const int result = Retry([&] { return ioctl(fd, uapi::kSiocOutq, &queued); });
    if (result < 0) return result;
    const int64_t acked_after = BytesAcked(fd);
    if (acked_after == acked || i == kTries) return acked + queued;
    acked = acked_after;
  }
}

int TcpState(int fd) {
  // The first byte of struct tcp_info.
  uint8_t state = 0;
  socklen_t size = sizeof(state);
  const int result =
      Retry([&] { return getsockopt(fd, IPPROTO_TCP, uapi::kTcpInfo, &state, &size); });
  return result < 0 ? result : state;
}

int TakeError(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  const int result = Retry([&] { return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size); });
  return result < 0 ? result : -error;
}

}  // namespace ktls

#include "sock_diag.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "ktls_uapi.h"
#include "netlink.h"
#include "retry.h"
#include "unique_fd.h"

namespace ktls {
namespace {

// One socket's attributes take well under 1 KiB.
constexpr size_t kAnswerSize = 8192;

struct Question {
  uapi::NetlinkHeader header;
  uapi::InetDiagReqV2 request;
};

struct Endpoint {
  sa_family_t family = AF_UNSPEC;
  uint16_t port = 0;
  std::array<uint32_t, 4> address{};
};

using NameCall = int (*)(int, sockaddr*, socklen_t*);

int GetEndpoint(int fd, NameCall call, Endpoint* result) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (call(fd, reinterpret_cast<sockaddr*>(&storage), &size) < 0) return -errno;
  result->family = storage.ss_family;
  if (storage.ss_family == AF_INET) {
    const auto* const in = reinterpret_cast<const sockaddr_in*>(&storage);
    result->port = in->sin_port;
    std::memcpy(result->address.data(), &in->sin_addr, sizeof(in->sin_addr));
    return 0;
  }
  if (storage.ss_family == AF_INET6) {
    // v4-mapped ones stay as they are: the kernel sees to it (inet_diag_find_one_icsk()).
    const auto* const in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    result->port = in6->sin6_port;
    std::memcpy(result->address.data(), &in6->sin6_addr, sizeof(in6->sin6_addr));
    return 0;
  }
  return -EAFNOSUPPORT;
}

template <typename T>
int GetOption(int fd, int level, int option, T* value) {
  socklen_t size = sizeof(*value);
  return Retry([&] { return getsockopt(fd, level, option, value, &size); });
}

int MakeQuestion(int fd, Question* question) {
  Endpoint own;
  Endpoint peer;
  int result = GetEndpoint(fd, getsockname, &own);
  if (result == 0) result = GetEndpoint(fd, getpeername, &peer);
  uint64_t cookie = 0;
  if (result == 0) result = GetOption(fd, SOL_SOCKET, SO_COOKIE, &cookie);
  if (result != 0) return result;
  // A socket bound to a device is found only under that device. Linux 5.0 and later tell it.
  int device = 0;
  if (GetOption(fd, SOL_SOCKET, uapi::kSoBindToIfIndex, &device) != 0) device = 0;

  question->header.length = sizeof(*question);
  question->header.type = uapi::kSockDiagByFamily;
  question->header.flags = uapi::kNlmRequest;
  uapi::InetDiagReqV2& request = question->request;
  request.family = static_cast<uint8_t>(own.family);
  request.protocol = IPPROTO_TCP;
  request.ext = 1U << (uapi::kInetDiagInfo - 1U);
  request.states = ~0U;
  request.id.sport = own.port;
  request.id.dport = peer.port;
  std::memcpy(request.id.src, own.address.data(), sizeof(request.id.src));
  std::memcpy(request.id.dst, peer.address.data(), sizeof(request.id.dst));
  request.id.interface = static_cast<uint32_t>(device);
  // The cookie makes it this very socket, whatever has its addresses by now.
  request.id.cookie[0] = static_cast<uint32_t>(cookie);
  request.id.cookie[1] = static_cast<uint32_t>(cookie >> 32U);
  return 0;
}

bool HasTls(int fd) {
  std::array<char, uapi::kUlpNameMax> name{};
  socklen_t size = name.size();
  const int result =
      Retry([&] { return getsockopt(fd, IPPROTO_TCP, uapi::kTcpUlp, name.data(), &size); });
  return result == 0 && std::string_view(name.data(), strnlen(name.data(), size)) == uapi::kUlpName;
}

int Parse(int fd, const uint8_t* answer, size_t size) {
  uapi::NetlinkHeader header = {};
  if (size < sizeof(header)) return -EBADMSG;
  std::memcpy(&header, answer, sizeof(header));
  if (header.length > size) return -EBADMSG;
  if (header.type == uapi::kNlmsgError) return NetlinkError(answer, header.length);
  constexpr size_t kAttributes = sizeof(header) + sizeof(uapi::InetDiagMsg);
  if (header.type != uapi::kSockDiagByFamily || header.length < kAttributes) return -EBADMSG;
  const Attributes attributes(answer + kAttributes, header.length - kAttributes);
  Attributes ulp;
  Attributes tls;
  if (attributes.Find(uapi::kInetDiagUlpInfo, &ulp) && ulp.Find(uapi::kInetUlpInfoTls, &tls)) {
    return tls.Number(uapi::kTlsInfoTxConf) + 16 * tls.Number(uapi::kTlsInfoRxConf);
  }
  // tcp_diag_get_aux() in net/ipv4/tcp_diag.c leaves it out for those without CAP_NET_ADMIN.
  return HasTls(fd) ? -EPERM : 0;
}

}  // namespace

int TlsMode(int fd) {
  Question question = {};
  const int result = MakeQuestion(fd, &question);
  if (result < 0) return result;
  UniqueFd diag;
  const int asked = AskSockDiag(&question, sizeof(question), &diag);
  if (asked < 0) return asked;
  std::array<uint8_t, kAnswerSize> answer{};
  const ssize_t size = Retry([&] { return recv(diag.get(), answer.data(), answer.size(), 0); });
  if (size < 0) return static_cast<int>(size);
  return Parse(fd, answer.data(), static_cast<size_t>(size));
}

}  // namespace ktls

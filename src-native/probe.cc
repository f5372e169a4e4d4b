#include "probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ktls_socket.h"
#include "ktls_uapi.h"
#include "retry.h"
#include "unique_fd.h"

namespace ktls {
namespace {

constexpr timeval kTimeout = {/*tv_sec=*/0, /*tv_usec=*/100000};

struct Pair {
  UniqueFd client;
  UniqueFd server;
};

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  bool operator==(const Address& other) const {
    return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
  }
};

Address Loopback(int family) {
  Address address;
  if (family == AF_INET) {
    auto* const in = reinterpret_cast<sockaddr_in*>(&address.storage);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.size = sizeof(*in);
  } else {
    auto* const in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_addr = in6addr_loopback;
    address.size = sizeof(*in6);
  }
  return address;
}

// With a deadline for connect(), accept() and recv(): a firewall may drop what goes to loopback. An
// accepted socket inherits its listener's.
int OpenSocket(int family, UniqueFd* result) {
  const int fd = Retry([=] { return socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP); });
  if (fd < 0) return fd;
  result->Reset(fd);
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    const int set =
        Retry([=] { return setsockopt(fd, SOL_SOCKET, option, &kTimeout, sizeof(kTimeout)); });
    if (set < 0) return set;
  }
  return 0;
}

int ConnectOver(int family, Pair* pair) {
  UniqueFd listener;
  int result = OpenSocket(family, &listener);
  if (result == 0) result = OpenSocket(family, &pair->client);
  if (result < 0) return result;
  Address address = Loopback(family);
  const int listening = listener.get();
  const int client = pair->client.get();
  if (bind(listening, address.get(), address.size) < 0 || listen(listening, 1) < 0 ||
      getsockname(listening, address.get(), &address.size) < 0) {
    return -errno;
  }
  result = Retry([&] { return connect(client, address.get(), address.size); });
  if (result < 0) return result;
  Address own;
  if (getsockname(client, own.get(), &own.size) < 0) return -errno;
  // Any local process may have connected first.
  constexpr int kStrangers = 8;
  for (int i = 0; i < kStrangers; i++) {
    Address peer;
    const int server =
        Retry([&] { return accept4(listening, peer.get(), &peer.size, SOCK_CLOEXEC); });
    if (server < 0) return server;
    pair->server.Reset(server);
    if (peer == own) return 0;
  }
  return -ECONNABORTED;
}

int Connect(Pair* pair) {
  const int ipv4 = ConnectOver(AF_INET, pair);
  if (ipv4 == 0) return 0;
  *pair = Pair();
  const int ipv6 = ConnectOver(AF_INET6, pair);
  if (ipv6 == 0) return 0;
  // A host that lacks one of them is told what went wrong with the other.
  const bool absent = ipv4 == -EAFNOSUPPORT || ipv4 == -EADDRNOTAVAIL;
  return absent ? ipv6 : ipv4;
}

// One record from one end to the other: some kernels and drivers accept keys that do not work.
int RoundTrip(int sender, int receiver) {
  constexpr std::array<uint8_t, 16> kSent = {'k', 't', 'l', 's'};
  const ssize_t sent = SendPlain(sender, kSent.data(), kSent.size());
  if (sent < 0) return static_cast<int>(sent);
  std::array<uint8_t, kSent.size()> got = {};
  const ssize_t size = Retry([&] { return recv(receiver, got.data(), got.size(), MSG_WAITALL); });
  if (size < 0) return static_cast<int>(size);
  return size == static_cast<ssize_t>(kSent.size()) && got == kSent ? 0 : -EBADMSG;
}

// Whether padded records arrive as they should although none is expected. Where they do not
// (CVE-2026-74611) the second is written behind the padding of the first, where nobody looks.
// `sender` has no key for sending, `receiver` none for receiving.
int ReadsPadding(int sender, int receiver, const CryptoInfo& zero_keys) {
  // RFC 8446 section 5.2, twice, under the zero keys of TLS 1.3 with AES-128-GCM: "ktls", the type
  // of application data, and 12 zeros.
  constexpr std::array<uint8_t, 76> kPadded = {
      0x17, 0x03, 0x03, 0x00, 0x21, 0x68, 0xfc, 0xb6, 0xbd, 0x77, 0xb6, 0xa3, 0x92,
      0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78, 0xf7, 0xbe, 0x21, 0xd1, 0x76,
      0x04, 0x55, 0xd5, 0xcf, 0xa1, 0xd8, 0xe1, 0xdb, 0x46, 0xba, 0xd0, 0xa4, 0x17,
      0x03, 0x03, 0x00, 0x21, 0x05, 0x75, 0xb5, 0x43, 0x10, 0x88, 0x72, 0xbd, 0x5b,
      0x32, 0xec, 0x94, 0x65, 0xfd, 0x47, 0x98, 0xc5, 0xa7, 0x1f, 0x4b, 0x5b, 0xc2,
      0x92, 0x2d, 0xca, 0xbc, 0xad, 0x3f, 0xdc, 0xdf, 0x9b, 0xed, 0x8c};
  constexpr std::array<uint8_t, 8> kText = {'k', 't', 'l', 's', 'k', 't', 'l', 's'};
  int result = InstallKeys(receiver, uapi::kTlsRx, zero_keys);
  if (result == 0) result = ExpectNoPadding(receiver);
  if (result != 0) return result;
  const ssize_t sent = SendPlain(sender, kPadded.data(), kPadded.size());
  if (sent < 0) return static_cast<int>(sent);
  // Room for both with their padding, without which the kernel decrypts elsewhere.
  std::array<uint8_t, 64> got = {};
  const ssize_t size = Retry([&] { return recv(receiver, got.data(), got.size(), 0); });
  if (size < 0) return static_cast<int>(size);
  const bool whole = size == static_cast<ssize_t>(kText.size());
  return whole && std::equal(kText.begin(), kText.end(), got.begin()) ? 0 : -EBADMSG;
}

// Whether the kernel tells how many records it has sent, which is one.
int CountsRecords(int sender, uint16_t version, const CipherLayout& layout) {
  CryptoInfo state(version, layout);
  const int result = ReadState(sender, uapi::kTlsTx, &state);
  if (result < 0) return result;
  return state.RecordSequence() == 1 ? 0 : -ENODATA;
}

}  // namespace

ProbeResult Probe(uint16_t version, const CipherLayout& layout) {
  ProbeResult result;
  Pair pair;
  result.pair = Connect(&pair);
  if (result.pair != 0) return result;
  result.ulp = AttachUlp(pair.client.get());
  if (result.ulp == 0) result.ulp = AttachUlp(pair.server.get());
  if (result.ulp != 0) return result;
  const CryptoInfo zero_keys(version, layout);
  result.tx = InstallKeys(pair.client.get(), uapi::kTlsTx, zero_keys);
  // For an algorithm that it does not have the kernel runs modprobe (as root, within setsockopt()),
  // a second time for the other direction: not for an answer that is useless.
  if (result.tx != 0) return result;
  result.rx = InstallKeys(pair.server.get(), uapi::kTlsRx, zero_keys);
  if (result.rx == 0) result.rx = RoundTrip(pair.client.get(), pair.server.get());
  if (result.rx == 0) result.count = CountsRecords(pair.client.get(), version, layout);
  return result;
}

FeatureResult ProbeFeatures() {
  FeatureResult result;
  Pair pair;
  result.ready = Connect(&pair);
  if (result.ready != 0) return result;
  const int sender = pair.client.get();
  const int receiver = pair.server.get();
  const CryptoInfo zero_keys(uapi::kTls13, *FindCipher(uapi::kAesGcm128));
  result.ready = AttachUlp(sender);
  if (result.ready == 0) result.ready = AttachUlp(receiver);
  if (result.ready == 0) result.ready = InstallKeys(sender, uapi::kTlsTx, zero_keys);
  if (result.ready == 0) result.ready = InstallKeys(receiver, uapi::kTlsRx, zero_keys);
  if (result.ready != 0) return result;
  const auto get = [](int fd, int option, void* value, socklen_t size) {
    return Retry([=]() mutable { return getsockopt(fd, uapi::kSolTls, option, value, &size); });
  };
  // A kernel that does not know an option answers ENOPROTOOPT. The sizes are the kernel's own.
  unsigned int flag = 0;
  uint16_t length = 0;
  result.zero_copy = get(sender, uapi::kTlsTxZeroCopyRo, &flag, sizeof(flag));
  result.no_pad = get(receiver, uapi::kTlsRxExpectNoPad, &flag, sizeof(flag));
  result.max_payload = get(sender, uapi::kTlsTxMaxPayloadLen, &length, sizeof(length));
  // The way back has no keys yet.
  if (result.no_pad == 0) result.no_pad = ReadsPadding(receiver, sender, zero_keys);
  return result;
}

int ProbeRekey(uint16_t version, const CipherLayout& layout) {
  Pair pair;
  int result = Connect(&pair);
  const int client = pair.client.get();
  const int server = pair.server.get();
  const CryptoInfo zero_keys(version, layout);
  if (result == 0) result = AttachUlp(client);
  if (result == 0) result = AttachUlp(server);
  if (result == 0) result = InstallKeys(client, uapi::kTlsTx, zero_keys);
  if (result == 0) result = InstallKeys(server, uapi::kTlsRx, zero_keys);
  if (result != 0) return result;

  // RFC 8446 section 4.6.3: key_update, update_not_requested.
  constexpr uint8_t kHandshake = 22;
  constexpr std::array<uint8_t, 5> kKeyUpdate = {24, 0, 0, 1, 0};
  const ssize_t sent = SendRecord(client, kHandshake, kKeyUpdate.data(), kKeyUpdate.size());
  if (sent < 0) return static_cast<int>(sent);
  pollfd readable = {server, POLLIN, 0};
  constexpr int kMilliseconds = 100;
  const int ready = Retry([&] { return poll(&readable, 1, kMilliseconds); });
  if (ready <= 0) return ready == 0 ? -ETIMEDOUT : ready;
  std::array<uint8_t, 64> got = {};
  const Received received = ReceiveRecord(server, got.data(), got.size());
  if (received.size < 0) return static_cast<int>(received.size);
  result = InstallKeys(client, uapi::kTlsTx, zero_keys);
  if (result == 0) result = InstallKeys(server, uapi::kTlsRx, zero_keys);
  return result == 0 ? RoundTrip(client, server) : result;
}

}  // namespace ktls

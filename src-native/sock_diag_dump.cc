#include "sock_diag_dump.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "ktls_uapi.h"
#include "netlink.h"
#include "retry.h"
#include "unique_fd.h"

namespace ktls {
namespace {

// The kernel fills what it is given, 32 KiB at most (netlink_dump() in net/netlink/af_netlink.c).
constexpr size_t kAnswerSize = 32768;

constexpr uint32_t StateBit(int state) { return 1U << static_cast<unsigned>(state); }
// The states in which a socket that was once established is still a whole one.
constexpr uint32_t kStates = StateBit(TCP_ESTABLISHED) | StateBit(TCP_FIN_WAIT1) |
                             StateBit(TCP_FIN_WAIT2) | StateBit(TCP_CLOSE_WAIT) |
                             StateBit(TCP_LAST_ACK) | StateBit(TCP_CLOSING);

struct Question {
  uapi::NetlinkHeader header;
  uapi::InetDiagReqV2 request;
};

Question MakeQuestion(int family) {
  Question question = {};
  question.header.length = sizeof(question);
  question.header.type = uapi::kSockDiagByFamily;
  question.header.flags = uapi::kNlmRequest | uapi::kNlmDump;
  question.request.family = static_cast<uint8_t>(family);
  question.request.protocol = IPPROTO_TCP;
  question.request.ext = 1U << (uapi::kInetDiagInfo - 1U);
  question.request.states = kStates;
  return question;
}

void AddSocket(const uint8_t* message, size_t length, std::vector<TlsSocketRecord>* records) {
  constexpr size_t kBody = sizeof(uapi::NetlinkHeader);
  uapi::InetDiagMsg socket = {};
  if (length < kBody + sizeof(socket)) return;
  std::memcpy(&socket, message + kBody, sizeof(socket));
  const Attributes attributes(message + kBody + sizeof(socket), length - kBody - sizeof(socket));
  Attributes ulp;
  Attributes tls;
  if (!attributes.Find(uapi::kInetDiagUlpInfo, &ulp) || !ulp.Find(uapi::kInetUlpInfoTls, &tls)) {
    return;
  }
  TlsSocketRecord record = {};
  record.family = socket.family == AF_INET6 ? 6 : 4;
  record.state = socket.state;
  record.tx = static_cast<uint8_t>(tls.Number(uapi::kTlsInfoTxConf));
  record.rx = static_cast<uint8_t>(tls.Number(uapi::kTlsInfoRxConf));
  record.version = tls.Number(uapi::kTlsInfoVersion);
  record.cipher = tls.Number(uapi::kTlsInfoCipher);
  record.zero_copy = tls.Has(uapi::kTlsInfoZeroCopyTx) ? 1 : 0;
  record.no_pad = tls.Has(uapi::kTlsInfoRxNoPad) ? 1 : 0;
  record.max_payload = tls.Number(uapi::kTlsInfoTxMaxPayload);
  record.local_port = ntohs(socket.id.sport);
  record.peer_port = ntohs(socket.id.dport);
  std::memcpy(record.local_address, socket.id.src, sizeof(record.local_address));
  std::memcpy(record.peer_address, socket.id.dst, sizeof(record.peer_address));
  record.uid = socket.uid;
  record.inode = socket.inode;
  record.receive_queue = socket.rqueue;
  record.send_queue = socket.wqueue;
  records->push_back(record);
}

// Of the message that ends a dump: 0, or the negated errno with which it has failed, as it says
// that there is no handler for the protocol.
int DumpError(const uint8_t* done, size_t size) {
  int error = 0;
  if (size >= sizeof(uapi::NetlinkHeader) + sizeof(error)) {
    std::memcpy(&error, done + sizeof(uapi::NetlinkHeader), sizeof(error));
  }
  return std::min(error, 0);
}

// One answer holds many messages. 1: there is more to come; 0: that was all.
int ReadMessages(const uint8_t* answer, size_t size, std::vector<TlsSocketRecord>* records) {
  size_t at = 0;
  uapi::NetlinkHeader header = {};
  while (at < size && size - at >= sizeof(header)) {
    std::memcpy(&header, answer + at, sizeof(header));
    if (header.length < sizeof(header) || header.length > size - at) return -EBADMSG;
    if (header.type == uapi::kNlmsgDone) return DumpError(answer + at, header.length);
    if (header.type == uapi::kNlmsgError) return NetlinkError(answer + at, header.length);
    if (header.type == uapi::kSockDiagByFamily) AddSocket(answer + at, header.length, records);
    at += (header.length + uapi::kNetlinkAlign - 1) & ~(uapi::kNetlinkAlign - 1);
  }
  return 1;
}

int Dump(int family, std::vector<TlsSocketRecord>* records) {
  const Question question = MakeQuestion(family);
  UniqueFd diag;
  int more = AskSockDiag(&question, sizeof(question), &diag);
  if (more < 0) return more;
  std::vector<uint8_t> answer(kAnswerSize);
  do {
    const ssize_t size =
        Retry([&] { return recv(diag.get(), answer.data(), answer.size(), MSG_TRUNC); });
    if (size < 0) return static_cast<int>(size);
    // What was cut off cannot be asked for again.
    if (static_cast<size_t>(size) > answer.size()) return -EMSGSIZE;
    more = ReadMessages(answer.data(), static_cast<size_t>(size), records);
  } while (more > 0);
  return more;
}

}  // namespace

int ListTlsSockets(std::vector<TlsSocketRecord>* records) {
  const int result = Dump(AF_INET, records);
  if (result < 0) return result;
  const int result6 = Dump(AF_INET6, records);
  // A kernel without IPv6 has no handler to ask.
  return result6 == -ENOENT ? 0 : result6;
}

}  // namespace ktls

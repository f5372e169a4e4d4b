// Every kTLS socket of the network namespace, as NETLINK_SOCK_DIAG lists them.
#ifndef KTLS_SRC_NATIVE_SOCK_DIAG_DUMP_H_
#define KTLS_SRC_NATIVE_SOCK_DIAG_DUMP_H_

#include <cstdint>
#include <vector>

namespace ktls {

// As lib/kernel/tls-sockets.ts reads it; integers in the machine's order, addresses in the
// network's.
struct TlsSocketRecord {
  uint8_t family;  // 4 or 6
  uint8_t state;   // TCP_ESTABLISHED, ...
  uint8_t tx;      // TLS_CONF_*
  uint8_t rx;
  uint16_t version;
  uint16_t cipher;
  uint8_t zero_copy;
  uint8_t no_pad;
  uint16_t max_payload;  // 0: not told
  uint16_t local_port;
  uint16_t peer_port;
  uint8_t local_address[16];
  uint8_t peer_address[16];
  uint32_t uid;
  uint32_t inode;
  uint32_t receive_queue;
  uint32_t send_queue;
};
static_assert(sizeof(TlsSocketRecord) == 64, "lib/kernel/tls-sockets.ts has this size");

// Appends to `records`. 0, or a negated errno. Before Linux 6.15 the kernel tells only
// CAP_NET_ADMIN which sockets have TLS, and for others the list is empty. Blocks for as long as the
// kernel takes to walk its table of sockets.
int ListTlsSockets(std::vector<TlsSocketRecord>* records);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_SOCK_DIAG_DUMP_H_

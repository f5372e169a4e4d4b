// The system calls on a TCP socket, before and under kernel TLS. Free of N-API. Every function
// returns a negated errno on failure and retries EINTR; none blocks.
#ifndef KTLS_SRC_NATIVE_KTLS_SOCKET_H_
#define KTLS_SRC_NATIVE_KTLS_SOCKET_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "crypto_info.h"

namespace ktls {

ssize_t ReceivePlain(int fd, uint8_t* target, size_t size);
ssize_t SendPlain(int fd, const uint8_t* data, size_t size);

int AttachUlp(int fd);
// `direction` is uapi::kTlsTx or uapi::kTlsRx.
int InstallKeys(int fd, int direction, const CryptoInfo& info);

struct Received {
  ssize_t size;  // or a negated errno
  uint8_t type;  // 0: the kernel named none
};
// Application data of one record or more, or one record of another type, which alone may be empty;
// without a size and a type, the end of the stream.
Received ReceiveRecord(int fd, uint8_t* target, size_t size);
ssize_t SendRecord(int fd, uint8_t type, const uint8_t* payload, size_t size);
// Fills `info` from getsockopt(TLS_TX | TLS_RX).
int ReadState(int fd, int direction, CryptoInfo* info);
// TLS_TX_MAX_PAYLOAD_LEN.
int SetMaxPayload(int fd, uint16_t length);

// TLS_TX_ZEROCOPY_RO: sendfile(2) hands the page cache itself to the network card, which then
// encrypts whatever stands there by then. Only a device's record layer heeds it.
int SetZeroCopy(int fd, bool on);

// TLS_RX_EXPECT_NO_PAD: a record is decrypted straight into the reader's buffer, and again if it
// turns out to be padded. Of TLS 1.3, once TLS_RX is set.
int ExpectNoPadding(int fd);

// Everything that TCP has been handed, acknowledged or still queued.
//
// Why anyone wants to know: kTLS keeps accepted records in a list of its own when the send buffer
// is full, and neither FIN nor close() waits for that list (net/tls/tls_main.c: tls_sk_proto_close
// tries once, without blocking; shutdown() does not know of it). A writer that knows how many bytes
// its records make can compare, and hold FIN back until they are all TCP's.
int64_t BytesInTcp(int fd);

// TCP_ESTABLISHED and so on, of <netinet/tcp.h>.
int TcpState(int fd);

int TakeError(int fd);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_KTLS_SOCKET_H_

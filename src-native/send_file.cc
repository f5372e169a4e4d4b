#include "send_file.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "retry.h"

namespace ktls {

static_assert(sizeof(off_t) == sizeof(int64_t), "_FILE_OFFSET_BITS=64");

namespace {

// What TCP has is sent, whether or not it fills a segment. The kernel's TLS marks the records of a
// file as having more behind them, and up to 6.4 does not take that back when there is no room for
// it: TCP then keeps what is less than a segment, and that its buffer will ever have room again is
// never told (seen on 6.1 with a send buffer of 16 KiB and loopback's segments of 32 KiB).
void PushTcp(int socket) {
  const int off = 0;
  static_cast<void>(setsockopt(socket, IPPROTO_TCP, TCP_CORK, &off, sizeof(off)));
}

}  // namespace

FileSent SendFile(int socket, int file, int64_t position, int64_t length) {
  int64_t sent = 0;
  while (sent < length) {
    // Before every call, because the kernel is never asked for what lies past the end of the file:
    // up to 6.4 a short file leaves its last record open (it was promised more), and before 7.2 the
    // device path (net/tls/tls_device.c) goes wrong there.
    struct stat stat = {};
    const int known = Retry([&] { return fstat(file, &stat); });
    if (known < 0) return {sent, known};
    off_t offset = position + sent;
    const int64_t there = std::min<int64_t>(length - sent, stat.st_size - offset);
    if (there <= 0) return {sent, -ENODATA};
    const ssize_t result =
        Retry([&] { return sendfile(socket, file, &offset, static_cast<size_t>(there)); });
    if (result == -EAGAIN) PushTcp(socket);
    if (result < 0) return {sent, static_cast<int>(result)};
    // It was cut off between the two calls.
    if (result == 0) return {sent, -ENODATA};
    // Before 5.15 some of kTLS's errors came back as a count.
    if (result > there) return {sent, -EIO};
    sent += result;
  }
  return {sent, 0};
}

}  // namespace ktls

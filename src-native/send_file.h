// sendfile(2), for a thread of the pool: reading the file may block it, the socket never does. Free
// of N-API.
#ifndef KTLS_SRC_NATIVE_SEND_FILE_H_
#define KTLS_SRC_NATIVE_SEND_FILE_H_

#include <cstdint>

namespace ktls {

struct FileSent {
  int64_t bytes;  // sent, whatever the status says
  int status;     // 0, or a negated errno: -EAGAIN until the socket is writable, -ENODATA at the
                  // end of the file
};

// Sends up to `length` bytes of a regular file from `position` on. The socket is non-blocking
// (O_NONBLOCK), and SIGPIPE ignored, as Node has both.
FileSent SendFile(int socket, int file, int64_t position, int64_t length);

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_SEND_FILE_H_

// Reads a socket under kernel TLS for the consumer of its libuv stream. Free of N-API.
//
// Whoever reads a stream of Node's (net.Socket, the HTTP/1 parser) stands behind the two callbacks
// that uv_read_start() takes: one gives a buffer, one gets it back with the bytes in it. libuv
// itself would fill it by read(2), which stops dead (EIO) at the first record that is not
// application data. This fills it by recvmsg(2), which says what each record is, and gives data to
// the consumer just as libuv would; all else is for the caller. To the consumer nothing differs
// from a plain connection.
#ifndef KTLS_SRC_NATIVE_STREAM_READER_H_
#define KTLS_SRC_NATIVE_STREAM_READER_H_

#include <uv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "ktls_socket.h"

namespace ktls {

class StreamReader {
 public:
  // Where a record goes that is, or may be, none of the consumer's. RFC 8446 section 5.1:
  // TLSPlaintext.length.
  using Scratch = std::array<uint8_t, size_t{16} * 1024>;

  // The stream must be reading at this moment, so that it is known to the loop and its callbacks
  // are set; it is stopped afterwards, and libuv reads nothing in between. nullptr: there is no
  // such stream.
  //
  // `to_the_end`: a read that has met the end of what is there is followed by another. Linux 6.14
  // and later say nothing of a KeyUpdate that a read has met behind data (net/tls/tls_sw.c).
  //
  // `scratch` outlives the reader; all readers of a loop share one.
  static std::unique_ptr<StreamReader> Of(uv_loop_t* loop, int fd, bool to_the_end,
                                          Scratch* scratch);

  // Whether there may be something to read already: Read() is then due.
  bool Start();
  void Stop();
  // The stream is going to be closed. Idempotent; allowed within Read().
  void Close();
  // The socket has become readable, or (`ended`) will not tell of what else is there.
  void Ready(bool ended);
  // From now on data is for the caller too, who does not want any.
  void ForbidData(bool forbidden) { forbidden_ = forbidden; }

  enum class Event {
    kNone,      // nothing is there, or nothing is wanted
    kOther,     // something else than data: other()
    kTurnOver,  // others should have their turn; Read() is still due
  };
  // `calls`: how often the kernel has been asked in this turn, 0 at first, whatever came of it.
  Event Read(int* calls);

  // A control record, forbidden data, the end (0, of no type or of data), or a negated errno. The
  // payload is valid until the next call of any reader with the same scratch.
  const Received& other() const { return other_; }
  const uint8_t* payload() const { return scratch_->data(); }
  // Bytes of data that the consumer got since the last call.
  uint64_t TakeDelivered();

 private:
  StreamReader(uv_stream_t* stream, int fd, bool to_the_end, Scratch* scratch);
  uv_buf_t Allocate();

  uv_stream_t* stream_;  // nullptr: closed
  int fd_;
  uv_alloc_cb allocate_;
  uv_read_cb deliver_;
  bool to_the_end_;
  Scratch* scratch_;
  bool wanted_ = false;
  // Until the kernel has said otherwise: the socket is watched by edges.
  bool readable_ = true;
  // The last read of data took all that there was room for.
  bool filled_ = false;
  bool forbidden_ = false;
  uint64_t delivered_ = 0;
  Received other_ = {0, 0};
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_STREAM_READER_H_

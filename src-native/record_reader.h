// Takes exactly one TLS record at a time out of a socket's receive queue, so that what follows the
// handshake stays in the kernel. It decrypts nothing, checks nothing it does not need for the
// record's length, and knows nothing of Node: the bytes come from a ByteSource.
#ifndef KTLS_SRC_NATIVE_RECORD_READER_H_
#define KTLS_SRC_NATIVE_RECORD_READER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ktls {

// recv(2), non-blocking: the number of bytes, 0 at the end of the stream, or a negated errno.
class ByteSource {
 public:
  ByteSource() = default;
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  ByteSource(ByteSource&&) = delete;
  ByteSource& operator=(ByteSource&&) = delete;

  virtual ssize_t Receive(uint8_t* target, size_t size) = 0;
};

class RecordReader {
 public:
  // > 0: that many bytes are at data() until the next call: one record, or bytes that cannot be one
  // as they came (from then on everything is handed on as it comes). 0: end of the stream; the
  // bytes of a record cut short by it were returned before. < 0: a negated errno; -EAGAIN keeps
  // what has come.
  ssize_t Read(ByteSource& source);
  const uint8_t* data() const { return bytes_.data(); }

 private:
  enum class State : uint8_t { kHeader, kBody, kPassthrough, kEnded };

  ssize_t Fill(ByteSource& source, size_t goal);
  ssize_t Deliver(State next);
  ssize_t PassOn(ByteSource& source);

  State state_ = State::kHeader;
  size_t have_ = 0;
  std::vector<uint8_t> bytes_;
};

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_RECORD_READER_H_

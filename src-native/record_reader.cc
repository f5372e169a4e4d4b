#include "record_reader.h"

#include <cerrno>

namespace ktls {
namespace {

// RFC 8446 5.1: ContentType type; ProtocolVersion legacy_record_version; uint16 length.
constexpr size_t kHeaderSize = 5;
constexpr uint8_t kFirstType = 20;  // change_cipher_spec
constexpr uint8_t kLastType = 24;   // heartbeat, RFC 6520
constexpr uint8_t kMajorVersion = 3;
// RFC 5246 6.2.3: "The length MUST NOT exceed 2^14 + 2048." RFC 8446 allows less; that is for
// OpenSSL to say.
constexpr size_t kMaxPayload = 16384 + 2048;
constexpr size_t kPassthroughSize = 16384;

size_t PayloadSize(const uint8_t* header) {
  return static_cast<size_t>(header[3]) << 8U | static_cast<size_t>(header[4]);
}

// As much of the header as is there is judged: a peer that sends "GET" and waits must be answered.
bool CanBeRecord(const uint8_t* header, size_t have) {
  if (have >= 1 && (header[0] < kFirstType || header[0] > kLastType)) return false;
  if (have >= 2 && header[1] != kMajorVersion) return false;
  return have < kHeaderSize || PayloadSize(header) <= kMaxPayload;
}

}  // namespace

// Receives up to the `goal`th byte, never beyond. 1: there; 0: end of the stream; < 0: an errno.
ssize_t RecordReader::Fill(ByteSource& source, size_t goal) {
  bytes_.resize(goal);
  while (have_ < goal) {
    const ssize_t got = source.Receive(bytes_.data() + have_, goal - have_);
    if (got <= 0) return got;
    have_ += static_cast<size_t>(got);
    if (state_ == State::kHeader && !CanBeRecord(bytes_.data(), have_)) break;
  }
  return 1;
}

ssize_t RecordReader::Deliver(State next) {
  const size_t size = have_;
  state_ = next;
  have_ = 0;
  return static_cast<ssize_t>(size);
}

ssize_t RecordReader::PassOn(ByteSource& source) {
  bytes_.resize(kPassthroughSize);
  return source.Receive(bytes_.data(), kPassthroughSize);
}

ssize_t RecordReader::Read(ByteSource& source) {
  for (;;) {
    size_t goal = kHeaderSize;
    switch (state_) {
      case State::kEnded:
        return 0;
      case State::kPassthrough:
        return PassOn(source);
      case State::kBody:
        goal += PayloadSize(bytes_.data());
        break;
      case State::kHeader:
        break;
    }
    const ssize_t filled = Fill(source, goal);
    if (filled < 0) return filled;
    if (filled == 0) return Deliver(State::kEnded);
    if (state_ == State::kBody) return Deliver(State::kHeader);
    if (!CanBeRecord(bytes_.data(), have_)) return Deliver(State::kPassthrough);
    state_ = State::kBody;
  }
}

}  // namespace ktls

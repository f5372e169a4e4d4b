// The handshake's way through the addon, over a real socket: a scripted peer sends any bytes in any
// pieces, ends or stalls when it likes, and reads back what is sent to it. Records must come out
// whole and in order, whatever was not asked for must still be in the kernel's queue, and nothing
// may block.
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "check.h"
#include "ktls_socket.h"
#include "record_reader.h"
#include "unique_fd.h"

namespace {

using ktls::fuzz::Check;

class SocketSource final : public ktls::ByteSource {
 public:
  explicit SocketSource(int fd) : fd_(fd) {}
  ssize_t Receive(uint8_t* target, size_t size) override {
    return ktls::ReceivePlain(fd_, target, size);
  }

 private:
  int fd_;
};

size_t Queued(int fd) {
  int bytes = 0;
  Check(ioctl(fd, FIONREAD, &bytes) == 0 && bytes >= 0);
  return static_cast<size_t>(bytes);
}

// Steps of the peer's script.
enum Step : uint8_t { kSend, kRead, kReadOne, kAnswer, kEnd, kHandOver, kSteps };

class Pump {
 public:
  Pump(const uint8_t* data, size_t size) : data_(data), size_(size) {
    std::array<int, 2> pair{};
    Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    own_.Reset(pair[0]);
    peer_.Reset(pair[1]);
  }

  void Send(size_t most) {
    if (ended_) return;
    const size_t size = std::min(most, size_ - sent_);
    if (size == 0) return;
    const ssize_t sent = ktls::SendPlain(peer_.get(), data_ + sent_, size);
    Check(sent > 0 || sent == -EAGAIN);
    if (sent > 0) sent_ += static_cast<size_t>(sent);
  }

  void End() {
    if (ended_) return;
    Check(shutdown(peer_.get(), SHUT_WR) == 0);
    ended_ = true;
  }

  // False: nothing more for now.
  bool ReadOne() {
    SocketSource source(own_.get());
    const ssize_t got = reader_.Read(source);
    Check(got >= 0 || got == -EAGAIN);
    if (got > 0) all_.insert(all_.end(), reader_.data(), reader_.data() + got);
    if (got == 0) Check(ended_ && all_.size() == sent_);
    // What is neither handed on nor part of the record under way is still the kernel's.
    if (got > 0) Check(all_.size() + Queued(own_.get()) == sent_);
    return got > 0;
  }

  void ReadAll() {
    while (ReadOne()) {
    }
  }

  // Ours to the peer: arrives as it was sent.
  void Answer(size_t size) {
    const std::vector<uint8_t> answer(size + 1, static_cast<uint8_t>(size));
    const ssize_t sent = ktls::SendPlain(own_.get(), answer.data(), answer.size());
    Check(sent > 0);
    std::vector<uint8_t> got(answer.size());
    Check(ktls::ReceivePlain(peer_.get(), got.data(), got.size()) == sent);
    Check(std::equal(got.begin(), got.begin() + sent, answer.begin()));
    Check(ktls::ReceivePlain(peer_.get(), got.data(), got.size()) == -EAGAIN);
  }

  // What comes after the last record is read as the receiver under kernel TLS does; this socket has
  // no record types, and says so.
  void HandOver(size_t room) {
    std::vector<uint8_t> target(room + 1);
    const size_t queued = Queued(own_.get());
    const ktls::Received got = ktls::ReceiveRecord(own_.get(), target.data(), target.size());
    Check(got.type == 0);
    if (queued == 0) {
      Check(got.size == (ended_ ? 0 : -EAGAIN));
      return;
    }
    Check(got.size == static_cast<ssize_t>(std::min(queued, target.size())));
  }

  bool IsPrefix() const { return std::equal(all_.begin(), all_.end(), data_); }

 private:
  const uint8_t* data_;
  size_t size_;
  ktls::UniqueFd own_;
  ktls::UniqueFd peer_;
  ktls::RecordReader reader_;
  size_t sent_ = 0;
  bool ended_ = false;
  std::vector<uint8_t> all_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  constexpr size_t kMaxScript = 32;
  const size_t script_size = std::min(size / 4, kMaxScript) / 2 * 2;
  const uint8_t* const data = input + script_size;
  const size_t data_size = size - script_size;
  Pump pump(data, data_size);
  for (size_t i = 0; i < script_size; i += 2) {
    const size_t argument = input[i + 1];
    switch (input[i] % kSteps) {
      case kSend:
        pump.Send(argument * argument + 1);
        break;
      case kRead:
        pump.ReadAll();
        break;
      case kReadOne:
        pump.ReadOne();
        break;
      case kAnswer:
        pump.Answer(argument);
        break;
      case kEnd:
        pump.End();
        break;
      case kHandOver:
        // From here on the records are not the reader's.
        pump.HandOver(argument * 64);
        return 0;
      default:
        Check(false);
    }
  }
  Check(pump.IsPrefix());
  for (size_t i = 0; i <= data_size; i += 4096) {
    pump.Send(data_size);
    pump.ReadAll();
  }
  pump.End();
  pump.ReadAll();
  Check(!pump.ReadOne());
  Check(pump.IsPrefix());
  return 0;
}

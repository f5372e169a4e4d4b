#include "stream_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ktls_uapi.h"

namespace ktls {
namespace {

// What libuv asks for, and how often it reads before others have their turn.
constexpr size_t kSuggestedSize = size_t{64} * 1024;
constexpr int kCallsPerTurn = 32;

bool IsData(const Received& got) {
  return got.size > 0 && (got.type == uapi::kApplicationData || got.type == 0);
}

}  // namespace

std::unique_ptr<StreamReader> StreamReader::Of(uv_loop_t* loop, int fd, bool to_the_end,
                                               Scratch* scratch) {
  const auto index = static_cast<size_t>(fd);
  if (fd < 0 || index >= loop->nwatchers || loop->watchers[index] == nullptr) return nullptr;
  // Of all watchers only a stream's can be this one, since a stream is reading this fd.
  auto* const stream = reinterpret_cast<uv_stream_t*>(
      reinterpret_cast<char*>(loop->watchers[index]) - offsetof(uv_stream_t, io_watcher));
  if (stream->type != UV_TCP || stream->loop != loop || stream->io_watcher.fd != fd ||
      stream->alloc_cb == nullptr || stream->read_cb == nullptr) {
    return nullptr;
  }
  return std::unique_ptr<StreamReader>(new StreamReader(stream, fd, to_the_end, scratch));
}

StreamReader::StreamReader(uv_stream_t* stream, int fd, bool to_the_end, Scratch* scratch)
    : stream_(stream),
      fd_(fd),
      allocate_(stream->alloc_cb),
      deliver_(stream->read_cb),
      to_the_end_(to_the_end),
      scratch_(scratch) {}

bool StreamReader::Start() {
  wanted_ = true;
  return readable_;
}

void StreamReader::Stop() { wanted_ = false; }

void StreamReader::Close() {
  wanted_ = false;
  stream_ = nullptr;
}

void StreamReader::Ready(bool ended) {
  readable_ = true;
  to_the_end_ |= ended;
}

uint64_t StreamReader::TakeDelivered() { return std::exchange(delivered_, 0); }

uv_buf_t StreamReader::Allocate() {
  uv_buf_t buffer = uv_buf_init(nullptr, 0);
  allocate_(reinterpret_cast<uv_handle_t*>(stream_), kSuggestedSize, &buffer);
  return buffer;
}

StreamReader::Event StreamReader::Read(int* calls) {
  Scratch& scratch = *scratch_;
  bool again = false;
  while (wanted_ && readable_) {
    if (*calls == kCallsPerTurn) return Event::kTurnOver;
    ++*calls;
    // A second look seldom finds anything: no buffer of the consumer's for that.
    uv_buf_t buffer = again ? uv_buf_init(nullptr, 0) : Allocate();
    // What is not for the consumer has to fit the scratch.
    const size_t room = again || forbidden_ ? scratch.size() : buffer.len;
    uint8_t* const target = again ? scratch.data() : reinterpret_cast<uint8_t*>(buffer.base);
    const bool usable = again || (target != nullptr && buffer.len >= scratch.size());
    const Received got = usable ? ReceiveRecord(fd_, target, room) : Received{-ENOBUFS, 0};
    if (IsData(got) && !forbidden_) {
      const auto size = static_cast<size_t>(got.size);
      if (again) {
        buffer = Allocate();
        if (buffer.base == nullptr || buffer.len < size) {
          other_ = {-ENOBUFS, 0};
          return Event::kOther;
        }
        std::copy_n(scratch.data(), size, buffer.base);
      }
      // Less than there was room for: the kernel has no more, or has another type of record, and
      // its next event says so. Not if the read before this one ended within a record: the kernel
      // had told of the next record by then, and may have met that one now (before 6.14: tls_sw.c,
      // tls_rx_rec_done() ahead of partially consumed data).
      const bool emptied = size < room;
      again = emptied && (to_the_end_ || filled_);
      filled_ = !emptied;
      if (emptied && !again) readable_ = false;
      delivered_ += size;
      deliver_(stream_, got.size, &buffer);
      continue;
    }
    if (got.size == -EAGAIN) readable_ = false;
    // The kernel gives no more of another type than one record.
    const bool fits = got.size <= static_cast<ssize_t>(scratch.size());
    if (!again) {
      if (got.size > 0 && fits) std::copy_n(target, got.size, scratch.data());
      // As libuv gives an unused buffer back.
      deliver_(stream_, 0, &buffer);
    }
    if (got.size == -EAGAIN) break;
    other_ = fits ? got : Received{-EBADMSG, 0};
    return Event::kOther;
  }
  return Event::kNone;
}

}  // namespace ktls

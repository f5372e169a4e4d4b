// Any bytes, in any pieces, with EAGAIN anywhere: the record reader must hand on all of them in
// order, cut at record boundaries, and never ask the source for a byte beyond the record it is in.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "check.h"
#include "record_reader.h"

namespace {

using ktls::fuzz::Check;

// The first bytes of an input decide how the rest is cut: 0 is EAGAIN, n at most n bytes.
class ScriptedSource final : public ktls::ByteSource {
 public:
  ScriptedSource(const uint8_t* script, size_t script_size, const uint8_t* data, size_t size)
      : script_(script), script_size_(script_size), data_(data), size_(size) {}

  ssize_t Receive(uint8_t* target, size_t size) override {
    Check(size > 0);
    size_t cut = size;
    if (next_ < script_size_ && position_ < size_) {
      cut = script_[next_++];
      if (cut == 0) return -EAGAIN;
    }
    const size_t taken = std::min({size, cut, size_ - position_});
    std::copy_n(data_ + position_, taken, target);
    position_ += taken;
    return static_cast<ssize_t>(taken);
  }

  size_t position() const { return position_; }

 private:
  const uint8_t* script_;
  size_t script_size_;
  const uint8_t* data_;
  size_t size_;
  size_t next_ = 0;
  size_t position_ = 0;
};

bool CanBegin(const uint8_t* bytes, size_t size) {
  if (size >= 1 && (bytes[0] < 20 || bytes[0] > 24)) return false;
  if (size >= 2 && bytes[1] != 3) return false;
  return size < 5 || size_t{bytes[3]} * 256 + bytes[4] <= 16384 + 2048;
}

bool IsWhole(const uint8_t* bytes, size_t size) {
  return size >= 5 && CanBegin(bytes, size) && size - 5 == size_t{bytes[3]} * 256 + bytes[4];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  constexpr size_t kMaxScript = 64;
  const size_t script_size = std::min(size / 4, kMaxScript);
  const uint8_t* const data = input + script_size;
  const size_t data_size = size - script_size;
  ScriptedSource source(input, script_size, data, data_size);
  ktls::RecordReader reader;
  std::vector<uint8_t> all;
  bool passing_on = false;
  for (;;) {
    const ssize_t got = reader.Read(source);
    if (got == -EAGAIN) continue;
    Check(got >= 0);
    if (got == 0) break;
    const auto size_got = static_cast<size_t>(got);
    all.insert(all.end(), reader.data(), reader.data() + size_got);
    // Nothing is read ahead.
    Check(all.size() == source.position());
    if (!passing_on && !IsWhole(reader.data(), size_got)) {
      Check(!CanBegin(reader.data(), size_got) || source.position() == data_size);
      passing_on = true;
    }
  }
  Check(reader.Read(source) == 0);
  Check(all.size() == data_size && std::equal(all.begin(), all.end(), data));
  return 0;
}

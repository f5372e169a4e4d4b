// Runs the fuzz target without libFuzzer (which only clang has): on the files named, or on
// `-runs=N` random inputs made mostly of TLS records.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size);

namespace {

std::vector<uint8_t> RandomInput(std::mt19937_64* random) {
  const auto below = [random](size_t bound) { return static_cast<size_t>((*random)() % bound); };
  std::vector<uint8_t> input;
  const size_t script = below(64);
  for (size_t i = 0; i < script; i++) input.push_back(static_cast<uint8_t>(below(8)));
  const size_t records = below(6);
  for (size_t i = 0; i < records; i++) {
    const size_t length = below(8) == 0 ? below(65536) : below(300);
    input.push_back(static_cast<uint8_t>(below(16) == 0 ? below(256) : 20 + below(5)));
    input.push_back(static_cast<uint8_t>(below(16) == 0 ? below(256) : 3));
    input.push_back(static_cast<uint8_t>(below(256)));
    input.push_back(static_cast<uint8_t>(length / 256));
    input.push_back(static_cast<uint8_t>(length % 256));
    const size_t payload = below(8) == 0 ? below(length + 1) : length;
    for (size_t j = 0; j < payload; j++) input.push_back(static_cast<uint8_t>(j));
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "-runs=100000";
  constexpr std::string_view kRuns = "-runs=";
  if (first.substr(0, kRuns.size()) != kRuns) {
    for (int i = 1; i < argc; i++) {
      std::ifstream file(argv[i], std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    }
    return 0;
  }
  const auto runs = std::strtoull(first.substr(kRuns.size()).data(), nullptr, 10);
  // The same inputs each time: a failure must come back.
  std::mt19937_64 random(1);  // NOLINT(cert-msc32-c, cert-msc51-cpp)
  for (uint64_t i = 0; i < runs; i++) {
    const std::vector<uint8_t> input = RandomInput(&random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%llu inputs\n", runs);
  return 0;
}

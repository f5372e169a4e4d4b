// What a fuzz target asserts with: an abort is what libFuzzer saves the input for.
#ifndef KTLS_SRC_NATIVE_FUZZ_CHECK_H_
#define KTLS_SRC_NATIVE_FUZZ_CHECK_H_

#include <cstdlib>

namespace ktls::fuzz {

inline void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace ktls::fuzz

#endif  // KTLS_SRC_NATIVE_FUZZ_CHECK_H_

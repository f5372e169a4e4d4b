// System calls the way the addon reports them: a result >= 0, or a negated errno; never EINTR.
#ifndef KTLS_SRC_NATIVE_RETRY_H_
#define KTLS_SRC_NATIVE_RETRY_H_

#include <cerrno>

namespace ktls {

template <typename Call>
auto Retry(Call call) -> decltype(call()) {
  for (;;) {
    const auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace ktls

#endif  // KTLS_SRC_NATIVE_RETRY_H_

// Only in the prebuilt addon: the little of a C++ runtime that it needs, and what a C library older
// than the build host's lacks. With it the addon depends on libc alone, on nothing younger than
// glibc 2.28 (which is what Node needs), and on nothing whose ABI differs between glibc and musl:
// one binary for each processor. scripts/portability.ts checks all of that.
//
// The addon is built without exceptions, since its frames stand under libuv's and Node's C ones:
// out of memory it aborts, as Node does.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <utility>

extern "C" {

// glibc 2.32, not in musl. libstdc++'s shared_ptr asks it whether plain arithmetic will do instead
// of atomics; "no" is always right.
char __libc_single_threaded = 0;

// glibc has had it as a symbol since 2.33 only; before, it was inline.
int fstat(int fd, struct stat* result) noexcept {
  return static_cast<int>(syscall(SYS_fstat, fd, result));
}

void __cxa_pure_virtual() { std::abort(); }

}  // extern "C"

void* operator new(std::size_t size) {
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace std {

void __throw_bad_alloc() { std::abort(); }
void __throw_bad_array_new_length() { std::abort(); }
void __throw_bad_function_call() { std::abort(); }
void __throw_length_error(const char* /*what*/) { std::abort(); }
void __throw_logic_error(const char* /*what*/) { std::abort(); }
void __throw_out_of_range(const char* /*what*/) { std::abort(); }
void __throw_out_of_range_fmt(const char* /*format*/, ...) { std::abort(); }

// Without RTTI libstdc++ compares the deleter's type by the address of a tag instead, and asks this
// only for types that another shared object made with RTTI. There are none.
bool _Sp_make_shared_tag::_S_eq(const type_info& /*type*/) noexcept { return false; }

// How a hash table grows.
pair<bool, size_t> __detail::_Prime_rehash_policy::_M_need_rehash(size_t buckets, size_t elements,
                                                                  size_t added) const {
  const auto needed = static_cast<size_t>(static_cast<double>(elements + added) /
                                          static_cast<double>(_M_max_load_factor));
  if (needed < buckets) return {false, 0};
  // Not a power of two: fds and ids that have a common divisor must not share buckets.
  return {true, 2 * needed + 11};
}

template class basic_string<char>;

}  // namespace std
